using GlmTune.Kernels;
using static TorchSharp.torch;

namespace GlmTune.Collectives;

/// <summary>Sum of the ranks' tensors in rank order, ((x₀ + x₁) + x₂) + …, for any backend.</summary>
internal static class RankOrderSum
{
    /// <summary>Elements added at a time, so that temporary memory stays small and in cache.</summary>
    private const long Chunk = 1 << 18;

    /// <summary>Types that can be summed.</summary>
    public static bool Supports(ScalarType type) =>
        type
            is ScalarType.Float16
                or ScalarType.BFloat16
                or ScalarType.Float32
                or ScalarType.Float64
                or ScalarType.Int32
                or ScalarType.Int64;

    /// <summary>Writes the sum of <paramref name="parts"/> to <paramref name="sum"/>; both are [n] and of the same
    /// type. 16-bit floats are added in float32.</summary>
    /// <param name="parts">One summand per rank, in rank order.</param>
    /// <param name="sum">Receives the sum; may be one of the summands.</param>
    public static void Write(IReadOnlyList<Tensor> parts, Tensor sum)
    {
        using var noGradient = no_grad();
        var inType = sum.dtype is ScalarType.Float16 or ScalarType.BFloat16 ? ScalarType.Float32 : sum.dtype;
        for (long start = 0, count = sum.numel(); start < count; start += Chunk)
        {
            using var scope = NewDisposeScope();
            var length = Math.Min(Chunk, count - start);
            var total = parts[0].narrow(0, start, length).to(inType, copy: true);
            for (var rank = 1; rank < parts.Count; rank++)
            {
                total.AddInPlace(parts[rank].narrow(0, start, length).to(total.device));
            }

            sum.narrow(0, start, length).copy_(total);
        }
    }
}
