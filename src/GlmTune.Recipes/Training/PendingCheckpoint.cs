using GlmTune.Files;

namespace GlmTune.Recipes.Training;

/// <summary>A checkpoint that is written by a thread of its own while training continues.</summary>
/// <remarks>All ranks make the same calls, on the threads that train. Each rank's thread writes its files; when all
/// have, rank 0's writes the manifest, renames the folder and removes old checkpoints. The threads do not communicate:
/// the ranks agree in <see cref="Advance"/>.</remarks>
/// <param name="ranks">The ranks.</param>
/// <param name="target">Path of the finished checkpoint.</param>
/// <param name="create">Creates the folder; called on rank 0.</param>
/// <param name="write">Writes this rank's files; returns name and hash of those whose bytes it has read. Called on the
/// thread that writes.</param>
/// <param name="publish">Completes the folder with the hashes of all ranks; returns notes. Called on rank 0, on the
/// thread that writes.</param>
internal sealed class PendingCheckpoint(
    RunRanks ranks,
    string target,
    Func<AtomicFolder> create,
    Func<string[]> write,
    Func<AtomicFolder, IEnumerable<string[]>, IReadOnlyList<string>> publish
) : IDisposable
{
    private AtomicFolder? folder;
    private Task<string[]>? writing;
    private Task<IReadOnlyList<string>>? publishing;

    /// <summary>Path of the finished checkpoint.</summary>
    public string Target => target;

    /// <summary>What to tell the user, once it is complete.</summary>
    public IReadOnlyList<string> Notes { get; private set; } = [];

    /// <summary>Creates the folder and starts writing; again after a failure.</summary>
    /// <exception cref="IOException">The folder cannot be created. With several ranks, a
    /// <see cref="Collectives.SharedFailureException"/>.</exception>
    public void Begin()
    {
        ranks.RunOnAllOrFail(() => folder = ranks.IsFirst ? create() : null);
        if (ranks.IsAlone)
        {
            publishing = Start(() => publish(folder!, [write()]));
        }
        else
        {
            writing = Start(write);
        }
    }

    /// <summary>Continues as far as the threads have come.</summary>
    /// <param name="wait">Whether to wait until the checkpoint is complete.</param>
    /// <returns>Whether it is complete: flushed and renamed.</returns>
    /// <exception cref="IOException">A rank failed, and nothing is left of the folder. With several ranks, a
    /// <see cref="Collectives.SharedFailureException"/>.</exception>
    public bool Advance(bool wait)
    {
        try
        {
            if (writing is not null)
            {
                if (!AllAreDone(writing, wait))
                {
                    return false;
                }

                List<string[]> hashes = [.. ranks.FromAll(ranks.RunOnAllOrFail(() => ResultOf(writing)))];
                writing = null;
                publishing = ranks.IsFirst
                    ? Start(() => publish(folder!, hashes))
                    : Task.FromResult<IReadOnlyList<string>>([]);
            }

            if (!AllAreDone(publishing!, wait))
            {
                return false;
            }

            Notes = ranks.RunOnAllOrFail(() => ResultOf(publishing!));
            return true;
        }
        catch
        {
            Abandon();
            throw;
        }
    }

    /// <summary>Waits for the thread of this rank, and removes what is incomplete.</summary>
    public void Dispose() => Abandon();

    private void Abandon()
    {
        Wait(writing);
        Wait(publishing);
        folder?.Dispose();
        (folder, writing, publishing) = (null, null, null);
    }

    private bool AllAreDone(Task task, bool wait)
    {
        if (wait)
        {
            Wait(task);
        }

        return !ranks.Any(!task.IsCompleted);
    }

    // Its exception is thrown where the result is taken.
    private static void Wait(Task? task) => (task as IAsyncResult)?.AsyncWaitHandle.WaitOne();

    private static T ResultOf<T>(Task<T> task) => task.GetAwaiter().GetResult();

    private static Task<T> Start<T>(Func<T> act)
    {
        var task = Task.Factory.StartNew(
            act,
            CancellationToken.None,
            TaskCreationOptions.LongRunning,
            TaskScheduler.Default
        );
        if (Disk.Parallelism == 1)
        {
            Wait(task); // operations on files are watched: their order is fixed
        }

        return task;
    }
}
