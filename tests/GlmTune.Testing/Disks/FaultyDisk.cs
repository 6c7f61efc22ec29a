using GlmTune.Files;

namespace GlmTune.Testing.Disks;

/// <summary>Lets the n-th operation below a folder go wrong, once; the others work. After a fault that ends the
/// process, nothing more reaches the disk.</summary>
/// <param name="root">The folder; operations elsewhere neither count nor fail.</param>
/// <param name="fault">What goes wrong; null: nothing, to count operations.</param>
/// <param name="at">Which of the operations that it can hit, from 0.</param>
/// <param name="seed">Decides what a power cut loses.</param>
internal sealed class FaultyDisk(string root, DiskFault? fault, int at, int seed = 0) : DiskWatcher
{
    private const int PowerCuts = 12;
    private readonly Lock gate = new();
    private readonly DurableTree? durable = fault == DiskFault.PowerCut ? new DurableTree(root) : null;
    private volatile bool ended;

    /// <summary>Operations that always fail.</summary>
    public Predicate<DiskCall>? Refuses { get; init; }

    /// <summary>Operations so far that the fault can hit.</summary>
    public int Count { get; private set; }

    /// <summary>The operation that went wrong; null: none so far.</summary>
    public DiskCall? Failed { get; private set; }

    /// <summary>Calls something with the n-th operation going wrong, for every n until none is left; with several seeds
    /// where chance decides what is lost.</summary>
    /// <param name="fault">What goes wrong.</param>
    /// <param name="attempt">Called with n and a seed; makes a disk, uses it and returns it.</param>
    /// <returns>The number of operations that went wrong.</returns>
    public static int ForEvery(DiskFault fault, Func<int, int, FaultyDisk> attempt)
    {
        var hit = 0;
        for (var seed = DiskSeed.Value; seed < DiskSeed.Value + (fault == DiskFault.PowerCut ? PowerCuts : 1); seed++)
        {
            for (var n = 0; attempt(n, (seed * 1000) + n).Failed is not null; n++)
            {
                hit++;
                if (n > 10_000)
                {
                    throw new InvalidOperationException($"{fault}: no end");
                }
            }
        }

        return hit;
    }

    /// <summary>Calls an action on this disk.</summary>
    /// <returns>The exception that ended it; null: none did.</returns>
    public Exception? Try(Action act)
    {
        try
        {
            using (Disk.Watch(this))
            {
                act();
            }

            return null;
        }
        catch (Exception error)
        {
            return error;
        }
        finally
        {
            Settle();
        }
    }

    /// <inheritdoc/>
    public override void Run(DiskCall call, Action<int> run)
    {
        if (!IsBelow(call.Path))
        {
            run(call.Bytes);
            return;
        }

        lock (gate)
        {
            if (ended)
            {
                // Clean-up of the code that the exception passes through; a process that has ended cleans up nothing.
                if (call.Operation is not (DiskOperation.Delete or DiskOperation.DeleteFolder))
                {
                    throw new ProcessEndedException();
                }

                return;
            }

            if (fault is { } kind && kind.CanHit(call) && Count++ == at)
            {
                Failed = call;
                Fail(kind, call, run);
            }

            if (Refuses?.Invoke(call) == true)
            {
                throw new IOException($"Device or resource busy : '{call.Path}'", 16);
            }

            run(call.Bytes);
            try
            {
                durable?.Did(call);
            }
            catch (IOException error)
            {
                throw new InvalidOperationException($"{call} was not recorded: {error.Message}", error);
            }
        }
    }

    // After a power cut, the folder holds what was on disk. With fewer operations than n, the power fails at the end.
    private void Settle()
    {
        durable?.Restore(new Random(seed));
    }

    private void Fail(DiskFault kind, DiskCall call, Action<int> run)
    {
        if (kind is DiskFault.ShortWrite or DiskFault.TornWrite)
        {
            run(call.Bytes / 2);
        }

        if (kind.Ends())
        {
            ended = true;
            throw new ProcessEndedException();
        }

        throw kind.Error(call);
    }

    private bool IsBelow(string path) =>
        path.StartsWith(root, StringComparison.Ordinal) && (path.Length == root.Length || path[root.Length] == '/');
}
