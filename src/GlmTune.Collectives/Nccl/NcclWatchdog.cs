using System.Diagnostics;
using GlmTune.Collectives.Native;
using GlmTune.Kernels.Cuda;

namespace GlmTune.Collectives;

/// <summary>Checks whether calls finish in time and whether NCCL reports errors; otherwise ends the run.</summary>
/// <remarks>The host enqueues calls and continues, and may then block in any wait for the GPU; so this is a thread of
/// its own.</remarks>
internal sealed class NcclWatchdog : IDisposable
{
    private static readonly TimeSpan Period = TimeSpan.FromMilliseconds(50);
    private readonly Nccl owner;
    private readonly TimeSpan timeout;
    private readonly Queue<NcclPending> underWay = new();
    private readonly ManualResetEventSlim stop = new();
    private readonly Thread thread;
    private readonly Stopwatch connecting = Stopwatch.StartNew();
    private nint communicator;

    public NcclWatchdog(Nccl owner, TimeSpan timeout)
    {
        (this.owner, this.timeout) = (owner, timeout);
        thread = new Thread(Watch) { IsBackground = true, Name = "NCCL watchdog" };
        thread.Start();
    }

    /// <summary>Called when the communicator exists; until then the time limit applies to its creation.</summary>
    public void Connected(nint made) => Volatile.Write(ref communicator, made);

    public void Add(NcclPending pending)
    {
        lock (underWay)
        {
            underWay.Enqueue(pending);
        }
    }

    /// <summary>Stops the watchdog.</summary>
    public void Dispose()
    {
        stop.Set();
        thread.Join();
        stop.Dispose();
    }

    private void Watch()
    {
        try
        {
            CudaContext.Ensure(owner.Device);
            while (!stop.Wait(Period))
            {
                Look();
            }

            Look();
        }
        catch (Exception error)
        {
            owner.End($"{LostRankException.Where(owner.Rank, owner.WorldSize, Oldest()?.Call)}: {error.Message}");
        }
    }

    private void Look()
    {
        var made = Volatile.Read(ref communicator);
        if (made == 0)
        {
            if (connecting.Elapsed > timeout)
            {
                owner.End(
                    $"Rank {owner.Rank} of {owner.WorldSize}: the rendezvous did not finish after "
                        + $"{timeout.TotalSeconds:0.###} s{owner.RootAddressNote}. A rank has not started, or its "
                        + "network cannot reach rank 0; set NCCL_DEBUG=INFO for details."
                );
            }

            return;
        }

        while (Oldest() is { } pending)
        {
            if (!pending.Settle())
            {
                if (pending.Age > timeout)
                {
                    owner.End(LostRankException.NotFinished(owner.Rank, owner.WorldSize, pending.Call, timeout));
                }

                break;
            }

            lock (underWay)
            {
                underWay.Dequeue();
            }

            owner.Activity.Progress();
        }

        if (NcclNative.GetAsyncError(made, out var error) == 0 && NcclNative.Failed(error))
        {
            var call = Oldest()?.Call;
            owner.End(
                $"{LostRankException.Where(owner.Rank, owner.WorldSize, call)}: {call?.Operation ?? "NCCL"}: "
                    + $"{NcclNative.Describe(error, made)}. "
                    + "A rank has stopped or the network between the ranks is broken; compare their logs."
            );
        }
    }

    /// <summary>The oldest call that NCCL has not finished; null: none.</summary>
    public NcclPending? Oldest()
    {
        lock (underWay)
        {
            return underWay.TryPeek(out var oldest) ? oldest : null;
        }
    }
}
