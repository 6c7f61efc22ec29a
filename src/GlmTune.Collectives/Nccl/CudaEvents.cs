using System.Collections.Concurrent;
using GlmTune.Collectives.Native;

namespace GlmTune.Collectives;

/// <summary>Events that are used again; any thread may take and give.</summary>
internal sealed class CudaEvents
{
    private readonly ConcurrentBag<nint> idle = [];

    public nint Take() => idle.TryTake(out var handle) ? handle : CudaDriver.CreateEvent();

    public void Give(nint handle) => idle.Add(handle);

    public void Destroy()
    {
        while (idle.TryTake(out var handle))
        {
            CudaDriver.DestroyEvent(handle);
        }
    }
}
