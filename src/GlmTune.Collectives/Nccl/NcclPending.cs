using System.Diagnostics;
using GlmTune.Kernels.Cuda;

namespace GlmTune.Collectives;

/// <summary>A call on NCCL's stream: <see cref="Wait"/> makes the compute stream wait, not the host.</summary>
/// <remarks>Its tensors are held until then, so that their memory is not reused while NCCL uses it.</remarks>
internal sealed class NcclPending(Nccl owner, CollectiveOperation operation, nint begin, nint end) : Pending
{
    private readonly Lock gate = new();
    private nint arrived;
    private bool waited;
    private bool settled;

    public CollectiveCall Call => operation.Call;

    public TimeSpan Age => Stopwatch.GetElapsedTime(operation.Started);

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
            CudaEvent.Record(arrived, computing);
            CudaStream.Await(computing, end);
            operation.Release();
            GiveBackWhenDone();
        }
    }

    /// <summary>Called by the watchdog: whether NCCL has finished. The first time it has, its duration is
    /// recorded.</summary>
    public bool Settle()
    {
        lock (gate)
        {
            if (!CudaEvent.HasHappened(end))
            {
                return false;
            }

            var exposed =
                arrived != 0 && CudaEvent.HasHappened(arrived) ? CudaEvent.Between(arrived, end) : TimeSpan.Zero;
            var busy = CudaEvent.Between(begin, end);
            owner.Traffic.Add(
                operation.Call,
                owner.WorldSize,
                operation.ElementSize,
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
