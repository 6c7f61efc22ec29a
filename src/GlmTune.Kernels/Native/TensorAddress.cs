using TorchSharp;

namespace GlmTune.Kernels.Native;

/// <summary>Address of a tensor's first element, on any device.</summary>
/// <remarks>Uses libtorch's C ABI (torch/csrc/inductor/aoti_torch/c/shim.h), whose tensor handles are the same as
/// TorchSharp's.</remarks>
public static unsafe class TensorAddress
{
    private static readonly delegate* unmanaged[Cdecl]<nint, nint*, int> GetDataPointer = (delegate* unmanaged[Cdecl]<
        nint,
        nint*,
        int>)
        NativeRuntime.Export("aoti_torch_get_data_ptr");

    /// <summary>The address; valid as long as <paramref name="tensor"/>.</summary>
    public static nint Of(torch.Tensor tensor)
    {
        nint address;
        var error = GetDataPointer(tensor.Handle, &address);
        GC.KeepAlive(tensor);
        return error == 0 ? address : throw new InvalidOperationException("libtorch returned no address for a tensor.");
    }
}
