using System.Globalization;
using GlmTune.Checkpoints;
using GlmTune.Files;
using GlmTune.Model;
using GlmTune.Runs;
using GlmTune.Training;
using GlmTune.Training.Sharding;

namespace GlmTune.Recipes.Training;

/// <summary>A run's output folder before the first step: checks whether it is writable, and what an earlier run left in
/// it.</summary>
/// <param name="training">The settings that name the folder and say whether an earlier run may be overwritten.</param>
/// <param name="resume">What the run resumes from, as accepted by <see cref="CheckpointFolder.Candidates"/>.</param>
internal sealed class OutputFolder(TrainingOptions training, string? resume)
{
    /// <summary>The folder for records of earlier runs, each in a folder named after its start time.</summary>
    public const string EarlierRuns = "earlier-runs";

    private static readonly string[] RecordFiles = [RunDescription.FileName, RunLog.FileName];
    private static readonly string[] RecordFolders = ["plots", "eval"];

    // Master weights and two moments, in float32.
    private const int OptimizerBytes = 12;
    private const int WeightBytes = 2;

    private string Folder => training.OutputFolder;

    /// <summary>Reserves the folder for one run, unless there is a problem.</summary>
    /// <param name="run">Id of the run.</param>
    /// <param name="checkpointBytes">Approximate size of a checkpoint; 0: unknown.</param>
    /// <param name="note">Called if the lock of a run that has ended was taken over.</param>
    /// <returns>The lock, or the problems.</returns>
    public (FolderLock? Lock, IReadOnlyList<string> Problems) Claim(
        string run,
        long checkpointBytes,
        Action<string> note
    )
    {
        var problems = FindProblems(checkpointBytes);
        if (problems.Count > 0)
        {
            return (null, problems);
        }

        FolderLock? taken = null;
        try
        {
            taken = FolderLock.Take(Folder, run, note);
            // Another run may have used the folder since the first look.
            problems = FindProblems(checkpointBytes, isOurs: true);
            if (problems.Count == 0)
            {
                var kept = taken;
                taken = null;
                return (kept, problems);
            }
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            problems = [error.Message];
        }
        finally
        {
            taken?.Dispose();
        }

        return (null, problems);
    }

    /// <summary>Finds anything that would make the first checkpoint fail or overwrite another run's
    /// checkpoints.</summary>
    /// <param name="checkpointBytes">Approximate size of a checkpoint; 0: unknown.</param>
    /// <param name="isOurs">Whether this run already holds the folder's lock.</param>
    public IReadOnlyList<string> FindProblems(long checkpointBytes, bool isOurs = false)
    {
        try
        {
            if (!isOurs && FolderLock.FindHolder(Folder) is { } holder)
            {
                return [holder];
            }
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return [error.Message];
        }

        List<string?> problems =
        [
            WriteProbe.FindProblem(Folder, checkpointBytes),
            training is { TensorBoard: true, TensorBoardFolder: { } logs } ? WriteProbe.FindProblem(logs) : null,
        ];
        try
        {
            problems.Add(FindEarlierRun(CheckpointFolder.Candidates(Folder, resume)));
        }
        catch (Exception error) when (error is InvalidDataException or IOException or UnauthorizedAccessException)
        {
            problems.Add(error.Message);
        }

        return [.. problems.OfType<string>()];
    }

    /// <summary>Prepares the folder right before the run starts: deletes an earlier run's checkpoints if the recipe
    /// says so, and moves its log, scores and plots to a folder of their own. A run that resumes from a checkpoint in
    /// this folder continues them instead.</summary>
    /// <param name="checkpoint">The checkpoint that the run resumes from; null: it starts from scratch.</param>
    /// <param name="note">Called with what was done.</param>
    /// <exception cref="IOException">Something could not be deleted or moved.</exception>
    public void Prepare(string? checkpoint, Action<string> note)
    {
        if (checkpoint is not null && IsHere(checkpoint))
        {
            return;
        }

        var steps = CheckpointFolder.Steps(Folder);
        foreach (var path in steps.Select(step => CheckpointFolder.PathOf(Folder, step)))
        {
            if (AtomicFolder.Discard(path) is { } problem)
            {
                throw new IOException(
                    $"{path}: this checkpoint of an earlier run could not be deleted ({problem}). Delete it, or choose "
                        + "another output_dir."
                );
            }
        }

        if (steps.Count > 0)
        {
            note($"{Folder}: the {steps.Count} checkpoints of an earlier run were deleted (overwrite_output_dir)");
        }

        if (MoveRecords() is { } moved)
        {
            note($"{Folder}: the log, scores and plots of an earlier run are now in {moved}");
        }
    }

    /// <summary>A lower estimate of a checkpoint's size in bytes: half-precision weights and optimizer state.</summary>
    public static long CheckpointBytes(Recipe recipe, ModelConfig config, ShardingOptions sharding)
    {
        if (recipe.Training.SaveStrategy == IntervalStrategy.No)
        {
            return 0;
        }

        var optimizer = recipe.Training.SaveOnlyModel ? 0 : OptimizerBytes;
        return (recipe.Lora, recipe.Prefix) switch
        {
            ({ } lora, _) => 2L * lora.Rank * config.HiddenSize * config.LayerCount * (WeightBytes + optimizer),
            (_, { } prefix) => 2L
                * prefix.VirtualTokens
                * config.KeyValueHeads
                * config.HeadDim
                * config.LayerCount
                * (WeightBytes + optimizer),
            _ => config.ParameterCount
                * (
                    optimizer
                    + (
                        sharding is { Stage: 3, GatherWeightsOnSave: false } && !recipe.Training.SaveOnlyModel
                            ? 0
                            : WeightBytes
                    )
                ),
        };
    }

    private string? FindEarlierRun(IReadOnlyList<string> candidates)
    {
        var steps = CheckpointFolder.Steps(Folder);
        if (steps.Count == 0 || (candidates.Count > 0 && candidates.All(IsHere)))
        {
            return null;
        }

        var names =
            steps.Count > 4
                ? $"checkpoint-{steps[0]} to checkpoint-{steps[^1]}"
                : string.Join(", ", steps.Select(step => $"checkpoint-{step}"));
        if (candidates.Count > 0)
        {
            return $"{Folder}: contains checkpoints of another run ({names}) than {candidates[0]}, from which this run "
                + $"resumes. Choose another folder: --set training_args.output_dir={FreeName()}";
        }

        return training.OverwriteOutputFolder
            ? null
            : $"{Folder}: contains checkpoints of an earlier run ({names}). To resume it, add yes to the "
                + "command. To keep it and start another, choose another folder: --set "
                + $"training_args.output_dir={FreeName()}. To delete its checkpoints and start from scratch, add "
                + "--set training_args.overwrite_output_dir=true.";
    }

    private string FreeName()
    {
        var plain = Path.TrimEndingDirectorySeparator(Folder);
        var number = 2;
        while (Directory.Exists($"{plain}-{number}") || File.Exists($"{plain}-{number}"))
        {
            number++;
        }

        return $"{plain}-{number}";
    }

    private bool IsHere(string checkpoint) =>
        RealPath(Path.GetDirectoryName(Path.GetFullPath(checkpoint))!) == RealPath(Folder);

    private static string RealPath(string folder)
    {
        var full = Path.TrimEndingDirectorySeparator(Path.GetFullPath(folder));
        return Directory.Exists(full)
            ? new DirectoryInfo(full).ResolveLinkTarget(returnFinalTarget: true)?.FullName ?? full
            : full;
    }

    private string? MoveRecords()
    {
        if (!Directory.Exists(Folder))
        {
            return null;
        }

        List<string> records =
        [
            .. RecordFiles.Select(name => Path.Combine(Folder, name)).Where(File.Exists),
            .. RecordFolders.Select(name => Path.Combine(Folder, name)).Where(Directory.Exists),
            .. Disk.Files(Folder, "metrics_*.json"),
            .. Disk.Files(Folder, "predictions_*.jsonl"),
        ];
        if (records.Count == 0)
        {
            return null;
        }

        var started = RunDescription.ReadOrNull(Folder)?.Started.UtcDateTime ?? File.GetLastWriteTimeUtc(records[0]);
        var name = started.ToString("yyyy-MM-dd_HH-mm-ss", CultureInfo.InvariantCulture);
        var target = Path.Combine(Folder, EarlierRuns, name);
        for (var number = 2; Path.Exists(target); number++)
        {
            target = Path.Combine(Folder, EarlierRuns, $"{name}_{number}");
        }

        Disk.CreateFolder(target);
        foreach (var record in records)
        {
            Disk.MoveFolder(record, Path.Combine(target, Path.GetFileName(record)));
        }

        return target;
    }
}
