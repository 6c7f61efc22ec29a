using System.Diagnostics;
using System.Runtime.ExceptionServices;
using GlmTune.Checkpoints;
using GlmTune.Collectives;
using GlmTune.Files;
using GlmTune.Training;

namespace GlmTune.Recipes.Training;

/// <summary>Saves a checkpoint although the disk fails for a while: pauses the run, says what is needed and what is
/// intact, and tries again, at growing intervals, up to a set time.</summary>
/// <remarks>All ranks make the same calls; rank 0 waits and decides.</remarks>
/// <param name="training">Names the output folder, the number of checkpoints to keep, and the time.</param>
/// <param name="ranks">The ranks.</param>
/// <param name="note">Called on rank 0 with what happens.</param>
internal sealed class CheckpointRetry(TrainingOptions training, RunRanks ranks, Action<string> note)
{
    private static readonly TimeSpan FirstWait = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan LongestWait = TimeSpan.FromSeconds(30);

    private int failedInARow;

    /// <summary>Writes a checkpoint.</summary>
    /// <param name="step">Its step.</param>
    /// <param name="isLast">Whether the run ends after it, so that there is no later save to hope for.</param>
    /// <param name="best">Step of the best checkpoint, which is never deleted to make room; null: none.</param>
    /// <param name="write">Writes the checkpoint and returns its path; may be called several times.</param>
    /// <param name="stop">Ends the waiting; one last attempt follows.</param>
    /// <param name="failed">Why the first attempt, made behind training, failed; null: there was none.</param>
    /// <returns>The path; null if it was not saved and training continues to the next save.</returns>
    /// <exception cref="IOException">This save and the one before it, or the last one of the run, failed for the whole
    /// time; the message names the checkpoint to resume from. With several ranks, a
    /// <see cref="SharedFailureException"/>.</exception>
    public string? Save(
        long step,
        bool isLast,
        long? best,
        Func<string> write,
        CancellationToken stop,
        Exception? failed = null
    )
    {
        var from = Stopwatch.GetTimestamp();
        var wait = FirstWait;
        for (var attempt = 1; ; attempt++)
        {
            var wasStopped = ranks.AnyStops(stop);
            Exception failure;
            try
            {
                if (attempt == 1 && failed is not null)
                {
                    ExceptionDispatchInfo.Throw(failed);
                }

                var path = write();
                if (attempt > 1)
                {
                    note($"step {step} is saved after {attempt} attempts; training continues");
                }

                Succeeded();
                return path;
            }
            catch (Exception error) when (IsOfDisk(error))
            {
                failure = error;
            }

            if (attempt == 1)
            {
                note(
                    $"step {step} could not be saved: {failure.Message.TrimEnd('.')}. "
                        + $"{DescribeSpace()}{DescribeIntact()} "
                        + $"Training pauses and tries again for {training.SaveRetry.TotalSeconds:0} s "
                        + "(save_retry_seconds)."
                );
            }

            var again = ranks.FirstFinds(() =>
            {
                if (MakeRoom(best))
                {
                    return true;
                }

                var left = training.SaveRetry - Stopwatch.GetElapsedTime(from);
                if (wasStopped || left <= TimeSpan.Zero)
                {
                    return false;
                }

                _ = stop.WaitHandle.WaitOne(wait < left ? wait : left);
                wait = TimeSpan.FromTicks(Math.Min(2 * wait.Ticks, LongestWait.Ticks));
                return true;
            });
            if (!again)
            {
                GiveUp(step, isLast || wasStopped, failure);
                return null;
            }
        }
    }

    /// <summary>Records that a checkpoint is complete, whose first attempt behind training did not fail.</summary>
    public void Succeeded() => failedInARow = 0;

    /// <summary>Whether an attempt may be repeated after this error.</summary>
    public static bool IsOfDisk(Exception error) =>
        error is IOException or UnauthorizedAccessException or SharedFailureException;

    private void GiveUp(long step, bool isLast, Exception failure)
    {
        failedInARow++;
        if (!isLast && failedInARow < 2)
        {
            note($"step {step} is not saved; training continues to the next save. {DescribeIntact()}");
            return;
        }

        ranks.RunOnAllOrFail(() =>
        {
            if (ranks.IsFirst)
            {
                throw new IOException(
                    $"Step {step} is not saved: {failure.Message.TrimEnd('.')}. {DescribeSpace()}{DescribeIntact()}",
                    failure
                );
            }
        });
    }

    // Rank 0 only; never more than save_total_limit would delete once the new checkpoint is there.
    private bool MakeRoom(long? best)
    {
        var newest = FindIntact();
        if (
            newest is null
            || Missing(CheckpointFolder.PathOf(training.OutputFolder, newest.Value)) is not > 0
            || CheckpointFolder.FirstToPrune(training.OutputFolder, training.SaveTotalLimit, [newest.Value, best ?? 0])
                is not { } oldest
        )
        {
            return false;
        }

        var path = CheckpointFolder.PathOf(training.OutputFolder, oldest);
        if (AtomicFolder.Discard(path) is not null)
        {
            return false;
        }

        note(
            $"{path} is deleted now to make room for the next checkpoint (save_total_limit: {training.SaveTotalLimit})"
        );
        return true;
    }

    private string DescribeIntact() =>
        FindIntact() is { } step
            ? $"{CheckpointFolder.PathOf(training.OutputFolder, step)} is intact; yes resumes from it."
            : $"There is no earlier checkpoint in {training.OutputFolder}.";

    private string DescribeSpace()
    {
        var size = FindIntact() is { } step ? SizeOf(CheckpointFolder.PathOf(training.OutputFolder, step)) : 0;
        return size > 0 && Free() is { } free
            ? $"A checkpoint needs about {WriteProbe.Size(size)}, and {WriteProbe.Size(free)} are free. "
            : "";
    }

    private long? FindIntact()
    {
        try
        {
            return CheckpointFolder
                .Steps(training.OutputFolder)
                .Reverse()
                .Select(step => (long?)step)
                .FirstOrDefault(step =>
                    FolderManifest
                        .FindProblems(CheckpointFolder.PathOf(training.OutputFolder, step!.Value), hashes: false)
                        .Count == 0
                );
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    // How many bytes are missing for a checkpoint of the same size; null: unknown.
    private long? Missing(string checkpoint) => SizeOf(checkpoint) - Free();

    private long? Free()
    {
        try
        {
            return new DriveInfo(Path.GetFullPath(training.OutputFolder)).AvailableFreeSpace;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or ArgumentException)
        {
            return null;
        }
    }

    private static long SizeOf(string folder)
    {
        try
        {
            return new DirectoryInfo(folder).EnumerateFiles("*", SearchOption.AllDirectories).Sum(file => file.Length);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return 0;
        }
    }
}
