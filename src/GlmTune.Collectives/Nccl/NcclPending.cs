using System.Diagnostics;
using GlmTune.Collectives.Native;

namespace GlmTune.Collectives;

/// <summary>A call on NCCL's stream: <see cref="Wait"/> makes the compute stream wait, not the host.</summary>
/// <remarks>Its tensors are held until then, so that their memory is not reused while NCCL uses it.</remarks>
internal sealed class NcclPending(Nccl owner, Transfer transfer, nint begin, nint end) : Pending
{
    private readonly Lock gate = new();
    private nint arrived;
    private bool waited;
    private bool settled;

    public CollectiveCall Call => transfer.Call;

    public TimeSpan Age => Stopwatch.GetElapsedTime(transfer.Started);

    /// <inheritdoc/>
    public override void Wait()
    {
        lock (gate)
        {
            if (waited)
            {
                return;
            }

            waited = true;
            var computing = owner.UseComputingStream();
            arrived = owner.Events.Take();
            CudaDriver.Record(arrived, computing);
            CudaDriver.Await(computing, end);
            transfer.Release();
            GiveBackWhenDone();
        }
    }

    /// <summary>Called by the watchdog: whether NCCL has finished. The first time it has, its duration is
    /// recorded.</summary>
    public bool Settle()
    {
        lock (gate)
        {
            if (!CudaDriver.HasHappened(end))
            {
                return false;
            }

            var exposed =
                arrived != 0 && CudaDriver.HasHappened(arrived) ? CudaDriver.Between(arrived, end) : TimeSpan.Zero;
            var busy = CudaDriver.Between(begin, end);
            owner.Traffic.Add(
                transfer.Call,
                owner.WorldSize,
                transfer.ElementSize,
                busy,
                exposed <= TimeSpan.Zero ? TimeSpan.Zero
                    : exposed < busy ? exposed
                    : busy
            );
            settled = true;
            GiveBackWhenDone();
            return true;
        }
    }

    private void GiveBackWhenDone()
    {
        if (waited && settled)
        {
            owner.Events.Give(begin);
            owner.Events.Give(end);
            owner.Events.Give(arrived);
        }
    }
}
