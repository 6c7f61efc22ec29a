using System.Runtime.InteropServices;
using static TorchSharp.torch;

namespace GlmTune.Collectives.Native;

/// <summary>Addresses of tensors, for libraries that move bytes. Source: libtorch's stable C interface,
/// <c>aoti_torch/c/shim.h</c>.</summary>
internal static partial class TensorMemory
{
    static TensorMemory() => NativeLibraries.Register();

    /// <summary>Where the first element lies, in the memory of the tensor's device; 0 for a tensor without
    /// elements.</summary>
    public static nint Address(Tensor tensor) =>
        DataPointer(tensor.Handle, out var address) == 0
            ? address
            : throw new InvalidOperationException("libtorch could not return the address of a tensor.");

    /// <summary>Whether two contiguous tensors share bytes.</summary>
    public static bool Overlap(Tensor a, Tensor b)
    {
        var (startA, startB) = (Address(a), Address(b));
        return a.device_type == b.device_type
            && a.device_index == b.device_index
            && startA < startB + Bytes(b)
            && startB < startA + Bytes(a);
    }

    public static long Bytes(Tensor tensor) => tensor.numel() * tensor.element_size();

    /// <summary>The stream that libtorch enqueues on, from this thread, on CUDA device
    /// <paramref name="device"/>.</summary>
    public static nint CurrentCudaStream(int device) =>
        CudaStream(device, out var stream) == 0
            ? stream
            : throw new InvalidOperationException($"libtorch has no current stream for CUDA device {device}.");

    [LibraryImport(NativeLibraries.TorchCpu, EntryPoint = "aoti_torch_get_data_ptr")]
    private static partial int DataPointer(nint tensor, out nint address);

    [LibraryImport(NativeLibraries.TorchCuda, EntryPoint = "aoti_torch_get_current_cuda_stream")]
    private static partial int CudaStream(int device, out nint stream);
}
