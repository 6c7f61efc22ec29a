using GlmTune.Kernels.Native;
using GlmTune.Weights;
using static TorchSharp.torch;

namespace GlmTune.Model;

/// <summary>Transfers tensors between safetensors files and memory.</summary>
internal static class StoredTensors
{
    /// <summary>Copies a stored tensor to <paramref name="target"/>, converting its type.</summary>
    /// <param name="stored">A tensor in an open file, of a floating-point type that libtorch has.</param>
    /// <param name="target">A tensor of the same shape, with any type, device and strides.</param>
    /// <exception cref="InvalidDataException">The type in the file is not one that weights can have.</exception>
    public static void CopyTo(StoredTensor stored, Tensor target)
    {
        using var scope = NewDisposeScope();
        target.copy_(Read(stored));
    }

    /// <summary>Copies elements of a stored tensor, in row-major order from <paramref name="first"/> on, without
    /// reading others; at most 16 MiB of them are in memory at a time.</summary>
    /// <param name="stored">A tensor in an open file, of a floating-point type that libtorch has.</param>
    /// <param name="first">Index of the first element to copy.</param>
    /// <param name="target">[n], contiguous; any type and device.</param>
    /// <exception cref="InvalidDataException">The type in the file is not one that weights can have.</exception>
    public static void CopyTo(StoredTensor stored, long first, Tensor target)
    {
        var type = RequireType(stored);
        var size = stored.ByteCount / Math.Max(1, stored.Shape.Aggregate(1L, (product, length) => product * length));
        using var piece = empty(Math.Min(target.numel(), (16 << 20) / Math.Max(1, size)), type, CPU);
        for (long done = 0, count; done < target.numel(); done += count)
        {
            count = Math.Min(piece.numel(), target.numel() - done);
            stored.CopyRange(TensorAddress.Of(piece), count * size, (first + done) * size);
            using var from = piece.narrow(0, 0, count);
            using var to = target.narrow(0, done, count);
            to.copy_(from);
        }
    }

    /// <summary>A stored tensor on the CPU, in its own type; in the caller's dispose scope.</summary>
    /// <exception cref="InvalidDataException">libtorch does not have the type in the file.</exception>
    public static Tensor Read(StoredTensor stored)
    {
        var type = RequireType(stored);
        var tensor = empty(stored.Shape, type, CPU);
        if (stored.ByteCount > 0)
        {
            stored.CopyTo(TensorAddress.Of(tensor), stored.ByteCount);
        }

        return tensor;
    }

    /// <summary>Passes the bytes of a tensor, row-major, to <paramref name="write"/> as an address and a
    /// count.</summary>
    /// <param name="tensor">A tensor with any device, type and strides.</param>
    /// <param name="type">Type to convert to first.</param>
    /// <param name="write">Called with the address and the number of bytes; valid during the call.</param>
    public static void WithBytes(Tensor tensor, ScalarType type, Action<nint, long> write)
    {
        using var scope = NewDisposeScope();
        var bytes = tensor.detach().to_type(type).cpu().contiguous();
        write(TensorAddress.Of(bytes), bytes.numel() * bytes.element_size());
    }

    /// <summary>The description in a file of a tensor with <paramref name="shape"/> and
    /// <paramref name="type"/>.</summary>
    public static TensorSpec Spec(string name, ScalarType type, params long[] shape) =>
        new(name, ElementOf(type), shape);

    private static ScalarType RequireType(StoredTensor stored) =>
        TypeOf(stored.Type)
        ?? throw new InvalidDataException(
            $"{stored.File.Path}: '{stored.Name}' is {stored.Type}; expected F32, BF16, F16 or F64."
        );

    /// <summary>libtorch's counterpart of a type in a file; null: it has none.</summary>
    public static ScalarType? TypeOf(ElementType type) =>
        type switch
        {
            ElementType.F64 => ScalarType.Float64,
            ElementType.F32 => ScalarType.Float32,
            ElementType.F16 => ScalarType.Float16,
            ElementType.BF16 => ScalarType.BFloat16,
            ElementType.I64 => ScalarType.Int64,
            ElementType.I32 => ScalarType.Int32,
            ElementType.U8 => ScalarType.Byte,
            ElementType.I8 => ScalarType.Int8,
            ElementType.BOOL => ScalarType.Bool,
            _ => null,
        };

    private static ElementType ElementOf(ScalarType type) =>
        type switch
        {
            ScalarType.Float64 => ElementType.F64,
            ScalarType.Float32 => ElementType.F32,
            ScalarType.Float16 => ElementType.F16,
            ScalarType.BFloat16 => ElementType.BF16,
            ScalarType.Int64 => ElementType.I64,
            ScalarType.Int32 => ElementType.I32,
            ScalarType.Byte => ElementType.U8,
            ScalarType.Bool => ElementType.BOOL,
            _ => throw new ArgumentException($"{type} has no safetensors type.", nameof(type)),
        };
}
