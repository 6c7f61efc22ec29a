using System.Collections.Concurrent;
using GlmTune.Kernels.Cuda;

namespace GlmTune.Collectives;

/// <summary>A pool of events; any thread may take and return them.</summary>
internal sealed class CudaEvents
{
    private readonly ConcurrentBag<nint> idle = [];

    public nint Take() => idle.TryTake(out var handle) ? handle : CudaEvent.Create(timed: true);

    public void Give(nint handle) => idle.Add(handle);

    public void Destroy()
    {
        while (idle.TryTake(out var handle))
        {
            CudaEvent.Destroy(handle);
        }
    }
}
