using System.Globalization;
using GlmTune.Files;
using GlmTune.Files.Json;

namespace GlmTune.Checkpoints;

/// <summary>The <c>checkpoint-N</c> folders in a run's output: lists them, resolves which one a user means, and removes
/// old ones.</summary>
internal static class CheckpointFolder
{
    private const string Prefix = "checkpoint-";

    private const string WithoutManifest =
        $"has {TrainingState.FileName} but no {FolderManifest.FileName}, so it is incomplete: copy it again";

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
                .. Disk.Folders(output, Prefix + "*")
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
    /// complete if they have a trainer state, which is written last. One of this program without a manifest is
    /// incomplete.</summary>
    /// <param name="folder">The checkpoint.</param>
    /// <param name="share">Which share of the files to read, from 0, when several processes check a folder
    /// together.</param>
    /// <param name="shares">Number of shares.</param>
    /// <returns>The problems, and which of the small files that people edit were changed (these are used as they are).
    /// Weights, optimizer and training state must be exactly as written.</returns>
    public static FolderFindings Compare(string folder, int share = 0, int shares = 1)
    {
        if (!Directory.Exists(folder))
        {
            return new FolderFindings(
                ["does not exist; with several machines, output_dir must be on a shared file system"],
                []
            );
        }

        if (HasManifest(folder))
        {
            return FolderManifest.Compare(folder, EditableIn(folder), share: share, shares: shares);
        }

        return IsOurs(folder) ? new FolderFindings([WithoutManifest], [])
            : File.Exists(Path.Combine(folder, TrainerStateFile.FileName)) ? new FolderFindings([], [])
            : new FolderFindings(
                [$"has neither {FolderManifest.FileName} nor {TrainerStateFile.FileName}, so it is incomplete"],
                []
            );
    }

    /// <summary>Checks a model, adapter or checkpoint folder before it is used for answers: the files needed for that
    /// against the manifest, if this program wrote one.</summary>
    /// <param name="folder">The folder.</param>
    /// <param name="hashes">Whether to read and hash the files; otherwise only names and sizes are compared.</param>
    /// <param name="share">Which share of the files to read, from 0, when several processes check a folder
    /// together.</param>
    /// <param name="shares">Number of shares.</param>
    /// <returns>The problems; and, as edited, a phrase for each file that people edit, or that only resuming needs,
    /// which differs or is missing.</returns>
    public static FolderFindings CompareForUse(string folder, bool hashes, int share = 0, int shares = 1)
    {
        if (!FolderManifest.IsIn(folder))
        {
            return new FolderFindings(
                !IsOurs(folder) ? []
                    : HasManifest(folder) ? [$"{FolderManifest.FileName} is damaged"]
                    : [WithoutManifest],
                []
            );
        }

        var needed = FolderManifest.Compare(
            folder,
            EditableIn(folder),
            _ => hashes,
            share,
            shares,
            compared: name => !IsForResuming(name)
        );
        var others = FolderManifest.Compare(
            folder,
            _ => false,
            _ => false,
            share,
            shares,
            compared: name => IsForResuming(name)
        );
        return needed with
        {
            Edited =
            [
                .. needed.Edited.Select(name => $"'{name}' has been edited"),
                .. needed.Problems.Count == 0 ? others.Problems : [],
            ],
        };
    }

    // What no longer parses was not edited but damaged, so an older checkpoint is the better one.
    private static Predicate<string> EditableIn(string folder) =>
        name =>
            Editable.Contains(name)
            && (!name.EndsWith(".json", StringComparison.Ordinal) || IsJson(Path.Combine(folder, name)));

    private static bool IsJson(string path)
    {
        try
        {
            JsonFile.ReadObject(path);
            return true;
        }
        catch (Exception error) when (error is InvalidDataException or IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    private static bool IsOurs(string folder) => File.Exists(Path.Combine(folder, TrainingState.FileName));

    private static bool HasManifest(string folder) => File.Exists(Path.Combine(folder, FolderManifest.FileName));

    private static bool IsForResuming(string name) =>
        name.StartsWith("optimizer-", StringComparison.Ordinal)
        || name is TrainingState.FileName or TrainerStateFile.FileName;

    /// <summary>The step in a checkpoint's name; null for other names.</summary>
    public static long? StepOf(string name) =>
        name.StartsWith(Prefix, StringComparison.Ordinal)
        && long.TryParse(name.AsSpan(Prefix.Length), NumberStyles.None, CultureInfo.InvariantCulture, out var step)
            ? step
            : null;

    /// <summary>The checkpoint that <see cref="Prune"/> will remove first once the next one has been written.</summary>
    /// <param name="output">The run's output folder.</param>
    /// <param name="limit">How many to keep; null: all.</param>
    /// <param name="keep">Steps to keep regardless of their age.</param>
    /// <returns>Its step; null if none will be removed.</returns>
    public static long? FirstToPrune(string output, int? limit, params IReadOnlyCollection<long> keep)
    {
        var steps = Steps(output);
        return limit is { } most && most >= 1 && steps.Count + 1 > most
            ? steps.Where(step => !keep.Contains(step)).Select(step => (long?)step).FirstOrDefault()
            : null;
    }

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
