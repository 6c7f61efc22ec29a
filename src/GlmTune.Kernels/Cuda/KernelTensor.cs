using GlmTune.Kernels.Dispatch;
using GlmTune.Kernels.Native;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Cuda;

/// <summary>Checks which tensors kernels can read in 16-byte accesses, and allocates their outputs.</summary>
internal static unsafe class KernelTensor
{
    /// <summary>Number of elements in a 16-byte access.</summary>
    public static int VectorWidth(ScalarType type) => type == ScalarType.Float32 ? 4 : 8;

    /// <summary>Whether kernels compute in this type.</summary>
    public static bool IsKnown(ScalarType type) =>
        type is ScalarType.BFloat16 or ScalarType.Float16 or ScalarType.Float32;

    /// <summary>Whether it is contiguous.</summary>
    public static bool IsContiguous(Tensor tensor)
    {
        byte contiguous;
        AtenShim.Check(AtenShim.IsContiguous(tensor.Handle, &contiguous), "read a tensor's layout");
        return contiguous != 0;
    }

    /// <summary>Whether its first element lies at a multiple of 16 bytes.</summary>
    public static bool IsAligned(Tensor tensor) => TensorAddress.Of(tensor) % 16 == 0;

    /// <summary>Whether four elements can be read in one access; true for null.</summary>
    public static bool IsAlignedForFour(Tensor? tensor) =>
        tensor is null || TensorAddress.Of(tensor) % (TypeOf(tensor) == ScalarType.Float32 ? 16 : 8) == 0;

    /// <summary>The element type.</summary>
    public static ScalarType TypeOf(Tensor tensor)
    {
        int type;
        AtenShim.Check(AtenShim.DataType(tensor.Handle, &type), "read a tensor's type");
        return (ScalarType)type;
    }

    /// <summary>The size of a dimension that is known to exist.</summary>
    public static int Size(Tensor tensor, int dimension)
    {
        long* sizes;
        AtenShim.Check(AtenShim.Sizes(tensor.Handle, &sizes), "read a tensor's sizes");
        return checked((int)sizes[dimension]);
    }

    /// <summary>A new tensor of the same shape and type, uninitialized.</summary>
    public static Tensor Like(Tensor tensor)
    {
        long* sizes;
        AtenShim.Check(AtenShim.Sizes(tensor.Handle, &sizes), "read a tensor's sizes");
        return Empty(TypeOf(tensor), tensor.device, new ReadOnlySpan<long>(sizes, (int)tensor.ndim));
    }

    /// <summary>A new contiguous tensor, uninitialized; belongs to the caller's dispose scope.</summary>
    public static Tensor Empty(ScalarType type, Device device, params ReadOnlySpan<long> shape)
    {
        var strides = stackalloc long[shape.Length];
        var stride = 1L;
        for (var i = shape.Length - 1; i >= 0; i--)
        {
            strides[i] = stride;
            stride *= shape[i];
        }

        nint handle;
        fixed (long* sizes = shape)
        {
            if (TensorArena.Open is { } arena)
            {
                return Tensor.UnsafeCreateTensor(arena.Take(type, device, shape.Length, sizes, strides, stride));
            }

            NativeLog.Mute();
            var code = AtenShim.EmptyStrided(
                shape.Length,
                sizes,
                strides,
                (int)type,
                (int)device.type,
                device.index,
                &handle
            );
            NativeLog.Unmute();
            // TorchSharp's reports what is wrong.
            return code == 0 ? Tensor.UnsafeCreateTensor(handle) : empty(shape.ToArray(), type, device);
        }
    }
}
