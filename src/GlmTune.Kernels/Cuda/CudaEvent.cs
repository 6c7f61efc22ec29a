using static TorchSharp.torch;

namespace GlmTune.Kernels.Cuda;

/// <summary>Events of the CUDA driver, by their handles.</summary>
/// <remarks>The GPU's context must be current on the calling thread: <see cref="CudaContext.Ensure(Device)"/>. Source:
/// CUDA driver API, "Event management".</remarks>
internal static unsafe class CudaEvent
{
    private const uint NoTiming = 2;
    private const int NotReady = 600;

    /// <summary>A new event; one that is not timed is cheaper.</summary>
    /// <param name="timed">Whether <see cref="Between"/> can be asked about it.</param>
    /// <exception cref="CudaException">The driver refused.</exception>
    public static nint Create(bool timed = false)
    {
        nint made;
        CudaDriver.Check(CudaDriver.EventCreate(&made, timed ? 0 : NoTiming), "create an event");
        return made;
    }

    /// <summary>Happens when all that <paramref name="stream"/> has queued so far is done.</summary>
    /// <exception cref="CudaException">The driver refused.</exception>
    public static void Record(nint handle, nint stream) =>
        CudaDriver.Check(CudaDriver.EventRecord(handle, stream), "record an event");

    /// <summary>Blocks the calling thread until the event has happened.</summary>
    /// <exception cref="CudaException">Work before the event failed.</exception>
    public static void Wait(nint handle) => CudaDriver.Check(CudaDriver.EventSynchronize(handle), "wait for an event");

    /// <summary>Whether the event has happened; does not wait. True of an event that was never recorded.</summary>
    /// <exception cref="CudaException">Work before the event failed.</exception>
    public static bool HasHappened(nint handle)
    {
        var code = CudaDriver.EventQuery(handle);
        if (code == NotReady)
        {
            return false;
        }

        CudaDriver.Check(code, "query an event");
        return true;
    }

    /// <summary>Time between two timed events that have happened; negative where the second was first.</summary>
    /// <exception cref="CudaException">One has not happened, or is not timed.</exception>
    public static TimeSpan Between(nint from, nint to)
    {
        float milliseconds;
        CudaDriver.Check(CudaDriver.EventElapsedTime(&milliseconds, from, to), "read the time between events");
        return TimeSpan.FromMilliseconds(milliseconds);
    }

    /// <summary>Frees the event. Failures are ignored: nothing depends on it any more.</summary>
    public static void Destroy(nint handle) => _ = CudaDriver.EventDestroy(handle);
}
