using GlmTune.Kernels.Native;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Cuda;

/// <summary>One kernel parameter: a tensor's address, an integer or a float, in the low bytes of eight.</summary>
internal readonly struct KernelArgument
{
    private KernelArgument(ulong bits) => Bits = bits;

    /// <summary>The value, in the form that the kernel reads.</summary>
    public ulong Bits { get; }

    /// <summary>Address of the tensor's first element; null gives a null pointer.</summary>
    public static implicit operator KernelArgument(Tensor? tensor) =>
        tensor is null ? default : new((ulong)TensorAddress.Of(tensor));

    /// <summary>A 32-bit integer.</summary>
    public static implicit operator KernelArgument(int value) => new((uint)value);

    /// <summary>An unsigned 32-bit integer.</summary>
    public static implicit operator KernelArgument(uint value) => new(value);

    /// <summary>A 64-bit integer.</summary>
    public static implicit operator KernelArgument(long value) => new((ulong)value);

    /// <summary>A float32.</summary>
    public static implicit operator KernelArgument(float value) => new(BitConverter.SingleToUInt32Bits(value));
}
