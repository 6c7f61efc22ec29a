using System.Globalization;
using GlmTune.Files;

namespace GlmTune.Checkpoints;

/// <summary>The <c>checkpoint-N</c> folders in a run's output: lists them, resolves which one a user means, and removes
/// old ones.</summary>
public static class CheckpointFolder
{
    private const string Prefix = "checkpoint-";

    // Records how a checkpoint was used, not what was trained.
    private static readonly HashSet<string> Editable = new(StringComparer.Ordinal)
    {
        "adapter_config.json",
        "config.json",
        "generation_config.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "chat_template.jinja",
        "README.md",
    };

    /// <summary>Path of the checkpoint for a step.</summary>
    public static string PathOf(string output, long step) =>
        Path.Combine(output, string.Create(CultureInfo.InvariantCulture, $"{Prefix}{step}"));

    /// <summary>The steps that have a checkpoint, in ascending order. Unfinished checkpoints have other names and are
    /// not listed.</summary>
    public static IReadOnlyList<long> Steps(string output) =>
        Directory.Exists(output)
            ?
            [
                .. Directory
                    .EnumerateDirectories(output, Prefix + "*")
                    .Select(path => StepOf(Path.GetFileName(path)))
                    .OfType<long>()
                    .Order(),
            ]
            : [];

    /// <summary>The candidate checkpoints for the command line's RESUME argument.</summary>
    /// <param name="output">The run's output folder.</param>
    /// <param name="resume">Null, "no", "yes", "600", "checkpoint-600" or a path.</param>
    /// <returns>Folders: none for "no"; for "yes" all of them, newest first, of which the caller uses the first intact
    /// one; otherwise the one that was named.</returns>
    /// <exception cref="InvalidDataException">There is no such checkpoint; the message lists the ones that
    /// exist.</exception>
    public static IReadOnlyList<string> Candidates(string output, string? resume)
    {
        var wanted = HomePath.Expand(resume?.Trim() ?? "");
        if (wanted.Length == 0 || wanted.Equals("no", StringComparison.OrdinalIgnoreCase))
        {
            return [];
        }

        var steps = Steps(output);
        if (IsNewest(wanted))
        {
            return [.. steps.Reverse().Select(each => PathOf(output, each))];
        }

        var name = wanted.StartsWith(Prefix, StringComparison.Ordinal) ? wanted[Prefix.Length..] : wanted;
        if (
            long.TryParse(name, NumberStyles.None, CultureInfo.InvariantCulture, out var step)
            && step > 0
            && steps.Contains(step)
        )
        {
            return [PathOf(output, step)];
        }

        if (
            Directory.Exists(wanted)
            && StepOf(Path.GetFileName(Path.GetFullPath(wanted).TrimEnd(Path.DirectorySeparatorChar))) is not null
        )
        {
            return [Path.GetFullPath(wanted)];
        }

        var available =
            steps.Count == 0 ? "there are none" : $"there are {string.Join(", ", steps.Select(s => Prefix + s))}";
        throw new InvalidDataException(
            $"'{resume}' is not a checkpoint in {output}: {available}. Expected yes (the newest), no (start "
                + "from scratch), a number such as 600, checkpoint-600, or a path."
        );
    }

    /// <summary>Whether RESUME asks for the newest intact checkpoint.</summary>
    public static bool IsNewest(string? resume) =>
        resume?.Trim().Equals("yes", StringComparison.OrdinalIgnoreCase) == true;

    /// <summary>Compares a checkpoint with its manifest. Checkpoints of other programs have no manifest; they count as
    /// complete if they have a trainer state, which is written last.</summary>
    /// <param name="folder">The checkpoint.</param>
    /// <param name="share">Which share of the files to read, from 0, when several processes check a folder
    /// together.</param>
    /// <param name="shares">Number of shares.</param>
    /// <returns>The problems, and which of the small files that people edit were changed (these are used as they are).
    /// Weights, optimizer and training state must be exactly as written.</returns>
    public static FolderFindings Compare(string folder, int share = 0, int shares = 1)
    {
        IReadOnlyList<string> problems =
            !Directory.Exists(folder)
                ? ["does not exist; with several machines, output_dir must be on a shared file system"]
            : File.Exists(Path.Combine(folder, FolderManifest.FileName))
            || File.Exists(Path.Combine(folder, TrainerStateFile.FileName))
                ? []
            : [$"has neither {FolderManifest.FileName} nor {TrainerStateFile.FileName}, so it is incomplete"];
        return problems.Count == 0 && File.Exists(Path.Combine(folder, FolderManifest.FileName))
            ? FolderManifest.Compare(folder, Editable.Contains, share: share, shares: shares)
            : new FolderFindings(problems, []);
    }

    /// <summary>The step in a checkpoint's name; null for other names.</summary>
    public static long? StepOf(string name) =>
        name.StartsWith(Prefix, StringComparison.Ordinal)
        && long.TryParse(name.AsSpan(Prefix.Length), NumberStyles.None, CultureInfo.InvariantCulture, out var step)
            ? step
            : null;

    /// <summary>Removes the oldest checkpoints beyond a limit.</summary>
    /// <param name="output">The run's output folder.</param>
    /// <param name="limit">How many to keep; null: all.</param>
    /// <param name="keep">Steps to keep regardless of their age, such as the best one.</param>
    /// <returns>A note for each checkpoint that could not be removed, with the reason. This never ends a run.</returns>
    public static IReadOnlyList<string> Prune(string output, int? limit, params IReadOnlyCollection<long> keep)
    {
        if (limit is not { } most || most < 1)
        {
            return [];
        }

        List<string> problems = [];
        var steps = Steps(output);
        var surplus = steps.Count - most;
        foreach (var step in steps.SkipLast(1).Where(step => !keep.Contains(step)).Take(Math.Max(0, surplus)))
        {
            if (AtomicFolder.Discard(PathOf(output, step)) is { } problem)
            {
                problems.Add($"{PathOf(output, step)}: this old checkpoint could not be removed completely: {problem}");
            }
        }

        return problems;
    }
}
