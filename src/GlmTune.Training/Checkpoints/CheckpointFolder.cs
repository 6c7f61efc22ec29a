using System.Globalization;
using GlmTune.Weights;

namespace GlmTune.Training.Checkpoints;

/// <summary>The <c>checkpoint-N</c> folders of a run's output: which there are, which one a user means, which may go.</summary>
public static class CheckpointFolder
{
    private const string Prefix = "checkpoint-";

    /// <summary>Path of the checkpoint after a number of steps.</summary>
    public static string PathOf(string output, long step) => Path.Combine(output, string.Create(CultureInfo.InvariantCulture, $"{Prefix}{step}"));

    /// <summary>The steps that have a checkpoint, in rising order; half-written ones have other names.</summary>
    public static IReadOnlyList<long> Steps(string output)
        => Directory.Exists(output)
            ? [.. Directory.EnumerateDirectories(output, Prefix + "*").Select(path => StepOf(Path.GetFileName(path))).OfType<long>().Order()]
            : [];

    /// <summary>What the command line's RESUME means.</summary>
    /// <param name="output">The run's output folder.</param>
    /// <param name="resume">Nothing, "no", "yes", "600", "checkpoint-600" or a path.</param>
    /// <param name="note">Gets what is wrong with checkpoints that "yes" passes over.</param>
    /// <returns>Folder of the checkpoint; null: from the start.</returns>
    /// <exception cref="InvalidDataException">It means no checkpoint that there is, the message lists those there are; or all that there are are damaged.</exception>
    public static string? Resolve(string output, string? resume, Action<string>? note = null)
    {
        var wanted = resume?.Trim() ?? "";
        if (wanted.Length == 0 || wanted.Equals("no", StringComparison.OrdinalIgnoreCase))
        {
            return null;
        }
        var steps = Steps(output);
        if (IsNewest(wanted))
        {
            return Newest(output, steps, note);
        }
        var name = wanted.StartsWith(Prefix, StringComparison.Ordinal) ? wanted[Prefix.Length..] : wanted;
        if (long.TryParse(name, NumberStyles.None, CultureInfo.InvariantCulture, out var step) && step > 0 && steps.Contains(step))
        {
            return PathOf(output, step);
        }
        if (Directory.Exists(wanted) && StepOf(Path.GetFileName(Path.GetFullPath(wanted).TrimEnd(Path.DirectorySeparatorChar))) is not null)
        {
            return Path.GetFullPath(wanted);
        }
        var available = steps.Count == 0 ? "there are none" : $"there are {string.Join(", ", steps.Select(s => Prefix + s))}";
        throw new InvalidDataException(
            $"'{resume}' is no checkpoint of {output}: {available}. Expected yes (the newest), no (from the start), a number such as 600, checkpoint-600, or a path.");
    }

    /// <summary>Whether RESUME asks for the newest whole checkpoint, which <see cref="Resolve"/> then reads and compares with its manifest.</summary>
    public static bool IsNewest(string? resume) => resume?.Trim().Equals("yes", StringComparison.OrdinalIgnoreCase) == true;

    /// <summary>The step in a checkpoint's name; null for other names.</summary>
    public static long? StepOf(string name)
        => name.StartsWith(Prefix, StringComparison.Ordinal)
            && long.TryParse(name.AsSpan(Prefix.Length), NumberStyles.None, CultureInfo.InvariantCulture, out var step) ? step : null;

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
                problems.Add($"{PathOf(output, step)}: this old checkpoint could not be removed altogether: {problem}");
            }
        }
        return problems;
    }

    // The newest whole one: a damaged folder, as after a disk fault, is passed over, but never all of them in silence.
    private static string? Newest(string output, IReadOnlyList<long> steps, Action<string>? note)
    {
        List<string> damaged = [];
        foreach (var step in steps.Reverse())
        {
            var folder = PathOf(output, step);
            var problems = File.Exists(Path.Combine(folder, FolderManifest.FileName)) ? FolderManifest.FindProblems(folder) : [];
            if (problems.Count == 0)
            {
                damaged.ForEach(passed => note?.Invoke($"{passed}; {folder} is used instead"));
                return folder;
            }
            damaged.Add($"{folder} is damaged: {string.Join("; ", problems.Take(3))}{(problems.Count > 3 ? "; …" : "")}");
        }
        return damaged.Count == 0 ? null : throw new InvalidDataException(
            $"{string.Join('\n', damaged)}\nThere is no whole checkpoint to go on from. Give no to start anew, or another folder's checkpoint.");
    }
}
