using GlmTune.Kernels.Dispatch;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Cuda;

/// <summary>Streams of the CUDA driver, by their handles, and the one that libtorch's operators go to.</summary>
/// <remarks>The GPU's context must be current on the calling thread: <see cref="CudaContext.Ensure(Device)"/>. The
/// current stream is read and set through libtorch's C interface. Source: CUDA driver API, "Stream
/// management".</remarks>
#pragma warning disable CA1711 // CUDA's own word.
internal static unsafe class CudaStream
#pragma warning restore CA1711
{
    private const uint NonBlocking = 1;

    private static readonly nint Library = AtenShim.Open("torch_cuda");
    private static readonly delegate* unmanaged<int, nint*, int> GetCurrent = (delegate* unmanaged<int, nint*, int>)
        AtenShim.Export(Library, "aoti_torch_get_current_cuda_stream");
    private static readonly delegate* unmanaged<nint, int, nint*, int> CreateGuard = (delegate* unmanaged<
        nint,
        int,
        nint*,
        int>)
        AtenShim.Export(Library, "aoti_torch_create_cuda_stream_guard");
    private static readonly delegate* unmanaged<nint, int> DeleteGuard = (delegate* unmanaged<nint, int>)
        AtenShim.Export(Library, "aoti_torch_delete_cuda_stream_guard");

    /// <summary>The stream used by this thread's operators on GPU <paramref name="index"/>.</summary>
    public static nint Current(int index)
    {
        nint stream;
        AtenShim.Check(GetCurrent(index, &stream), "read the current stream");
        return stream;
    }

    /// <summary>Makes this thread's operators use <paramref name="stream"/> until disposed.</summary>
    public static IDisposable Use(nint stream, int index)
    {
        nint guard;
        AtenShim.Check(CreateGuard(stream, index, &guard), "set the current stream");
        return new Guard(guard);
    }

    /// <summary>A new stream that does not wait for the default one.</summary>
    /// <exception cref="CudaException">The driver refused.</exception>
    public static nint Create()
    {
        nint stream;
        CudaDriver.Check(CudaDriver.StreamCreate(&stream, NonBlocking), "create a stream");
        return stream;
    }

    /// <summary>The same with the highest priority: its work starts while other work fills the GPU.</summary>
    /// <exception cref="CudaException">The driver refused.</exception>
    public static nint CreateUrgent()
    {
        int lowest;
        int highest;
        CudaDriver.Check(CudaDriver.StreamPriorityRange(&lowest, &highest), "read the priorities of streams");
        nint stream;
        CudaDriver.Check(CudaDriver.StreamCreateWithPriority(&stream, NonBlocking, highest), "create a stream");
        return stream;
    }

    /// <summary>What is queued on <paramref name="stream"/> from now on waits for the event.</summary>
    /// <exception cref="CudaException">The driver refused.</exception>
    public static void Await(nint stream, nint handle) =>
        CudaDriver.Check(CudaDriver.StreamWaitEvent(stream, handle, 0), "make a stream wait for an event");

    /// <summary>Blocks the calling thread until all that is queued on <paramref name="stream"/> is done.</summary>
    /// <exception cref="CudaException">Some of it failed.</exception>
    public static void Synchronize(nint stream) =>
        CudaDriver.Check(CudaDriver.StreamSynchronize(stream), "finish what is queued on a stream");

    /// <summary>Frees the stream when what is queued on it is done. Failures are ignored: nothing depends on it any
    /// more.</summary>
    public static void Destroy(nint stream) => _ = CudaDriver.StreamDestroy(stream);

    private sealed class Guard(nint handle) : IDisposable
    {
        public void Dispose() => _ = DeleteGuard(handle);
    }
}
