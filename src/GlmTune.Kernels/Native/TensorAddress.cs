using TorchSharp;

namespace GlmTune.Kernels.Native;

/// <summary>Where a tensor's first element lies, on whatever device, whatever its size.</summary>
/// <remarks>Through libtorch's C ABI (torch/csrc/inductor/aoti_torch/c/shim.h); a TorchSharp handle is what that ABI
/// calls a tensor handle.</remarks>
public static unsafe class TensorAddress
{
    private static readonly delegate* unmanaged[Cdecl]<nint, nint*, int> GetDataPointer = (delegate* unmanaged[Cdecl]<
        nint,
        nint*,
        int>)
        NativeRuntime.Export("aoti_torch_get_data_ptr");

    /// <summary>The address; valid while <paramref name="tensor"/> lives.</summary>
    public static nint Of(torch.Tensor tensor)
    {
        nint address;
        var error = GetDataPointer(tensor.Handle, &address);
        GC.KeepAlive(tensor);
        return error == 0 ? address : throw new InvalidOperationException("libtorch returned no address for a tensor.");
    }
}
