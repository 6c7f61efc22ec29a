using System.Globalization;
using GlmTune.Files;

namespace GlmTune.Checkpoints;

/// <summary>The <c>checkpoint-N</c> folders of a run's output: which there are, which one a user means, which may
/// go.</summary>
public static class CheckpointFolder
{
    private const string Prefix = "checkpoint-";

    // What says how a checkpoint is used, not what it learned.
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

    /// <summary>Path of the checkpoint after a number of steps.</summary>
    public static string PathOf(string output, long step) =>
        Path.Combine(output, string.Create(CultureInfo.InvariantCulture, $"{Prefix}{step}"));

    /// <summary>The steps that have a checkpoint, in rising order; half-written ones have other names.</summary>
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

    /// <summary>The checkpoints that the command line's RESUME may mean.</summary>
    /// <param name="output">The run's output folder.</param>
    /// <param name="resume">Nothing, "no", "yes", "600", "checkpoint-600" or a path.</param>
    /// <returns>Folders: none for "no"; all for "yes", the newest first, of which the first whole one is meant; else
    /// the one.</returns>
    /// <exception cref="InvalidDataException">It means no checkpoint that there is; the message lists those there
    /// are.</exception>
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

    /// <summary>Whether RESUME asks for the newest whole checkpoint.</summary>
    public static bool IsNewest(string? resume) =>
        resume?.Trim().Equals("yes", StringComparison.OrdinalIgnoreCase) == true;

    /// <summary>Compares a checkpoint with its manifest. Other programs' checkpoints have none, and are whole where
    /// their state, which is written last, is there.</summary>
    /// <param name="folder">The checkpoint.</param>
    /// <param name="share">Which share of the files is read, from 0, where several processes check it together.</param>
    /// <param name="shares">Number of shares.</param>
    /// <returns>What is wrong, and which of the small files that people edit were changed: those are read as they are.
    /// Weights, optimizer and training state must be as they were written.</returns>
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
    /// <param name="limit">How many stay; null: all.</param>
    /// <param name="keep">Steps that stay whatever their age: the best one.</param>
    /// <returns>What could not be removed, and why: no reason to end a run.</returns>
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
