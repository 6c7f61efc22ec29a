using static TorchSharp.torch;

namespace GlmTune.Kernels;

/// <summary>New tensors filled with numbers that stay alive until libtorch has read them: see
/// <see cref="TensorArithmetic"/>.</summary>
internal static class TensorCreation
{
    /// <summary>0, 1, … up to but not including <paramref name="stop"/>; int64 on the CPU by default.</summary>
    public static Tensor Range(long stop, ScalarType type = ScalarType.Int64, Device? device = null) =>
        Range(0, stop, type, device);

    /// <summary>The integers from <paramref name="start"/> up to but not including <paramref name="stop"/>; int64 on
    /// the CPU by default.</summary>
    public static Tensor Range(long start, long stop, ScalarType type = ScalarType.Int64, Device? device = null)
    {
        using var first = ((Number)start).ToScalar();
        using var end = ((Number)stop).ToScalar();
        using var step = ((Number)1).ToScalar();
        return arange(first, end, step, type, device);
    }

    /// <summary>A tensor whose elements are all <paramref name="number"/>; float32 on the CPU by default.</summary>
    public static Tensor Full(long[] shape, Number number, ScalarType type = ScalarType.Float32, Device? device = null)
    {
        using var scalar = number.ToScalar();
        return full(shape, scalar, type, device);
    }
}
