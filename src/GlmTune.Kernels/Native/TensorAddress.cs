using GlmTune.Kernels.Dispatch;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Native;

/// <summary>Address of a tensor's bytes, on any device.</summary>
/// <remarks>Uses libtorch's C interface (torch/csrc/inductor/aoti_torch/c/shim.h), whose tensor handles are the same as
/// TorchSharp's.</remarks>
internal static unsafe class TensorAddress
{
    /// <summary>Address of the first element, in the memory of the tensor's device; valid as long as
    /// <paramref name="tensor"/>. 0 for a tensor without elements.</summary>
    /// <exception cref="AtenException">The tensor has no memory of its own.</exception>
    public static nint Of(Tensor tensor)
    {
        nint address;
        var code = AtenShim.DataPointer(tensor.Handle, &address);
        GC.KeepAlive(tensor);
        AtenShim.Check(code, "read a tensor's address");
        return address;
    }

    /// <summary>Bytes of all elements.</summary>
    public static long BytesOf(Tensor tensor) => tensor.numel() * tensor.element_size();

    /// <summary>Whether two contiguous tensors share bytes.</summary>
    public static bool Overlap(Tensor a, Tensor b)
    {
        var (startA, startB) = (Of(a), Of(b));
        return a.device_type == b.device_type
            && a.device_index == b.device_index
            && startA < startB + BytesOf(b)
            && startB < startA + BytesOf(a);
    }
}
