using System.Diagnostics;

namespace GlmTune.Collectives;

/// <summary>A call that is queued for, or being carried out by, the MPI thread.</summary>
internal sealed class MpiPending(Mpi owner, CollectiveOperation operation) : Pending
{
    private readonly TaskCompletionSource done = new();
    private TimeSpan busy;
    private bool waited;
    private volatile bool awaited;

    public CollectiveOperation Operation => operation;

    /// <summary>Whether the computation is waiting for this call.</summary>
    public bool IsAwaited => awaited;

    /// <summary>Carries out the call, on the MPI thread.</summary>
    public void Perform(MpiThread thread)
    {
        var from = Stopwatch.GetTimestamp();
        owner.Perform(this, thread);
        busy = Stopwatch.GetElapsedTime(from);
        done.SetResult();
    }

    /// <inheritdoc/>
    public override void Wait()
    {
        if (waited)
        {
            return;
        }

        waited = true;
        var from = Stopwatch.GetTimestamp();
        awaited = true;
        done.Task.Wait();
        operation.Release();
        var exposed = Stopwatch.GetElapsedTime(from);
        owner.Traffic.Add(
            operation.Call,
            owner.WorldSize,
            operation.ElementSize,
            busy,
            exposed < busy ? exposed : busy
        );
    }
}
