using GlmTune.Kernels.Dispatch;

namespace GlmTune.Kernels.Cuda;

/// <summary>libtorch's current stream, read and set through its C interface.</summary>
internal static unsafe class CudaStream
{
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

    private sealed class Guard(nint handle) : IDisposable
    {
        public void Dispose() => _ = DeleteGuard(handle);
    }
}
