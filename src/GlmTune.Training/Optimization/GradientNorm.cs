using GlmTune.Kernels;
using GlmTune.Training.Sharding;
using static TorchSharp.torch;

namespace GlmTune.Training.Optimization;

/// <summary>The global gradient norm, and the factor that clips it.</summary>
internal static class GradientNorm
{
    // Elements of a 16-bit gradient that are widened at a time.
    private const long Piece = 1 << 24;

    /// <summary>Euclidean norm over all shards of all ranks, counting each element once; a scalar on the device, in the
    /// caller's dispose scope.</summary>
    public static Tensor Of(ISharding sharding)
    {
        using var scope = NewDisposeScope();
        var ofSlices = SumOfSquares(sharding.Trainable.Where(shard => shard.WorldSize > 1));
        if (ofSlices is not null)
        {
            sharding.Sum(ofSlices);
        }
        // What is replicated on every rank is counted once.
        var ofWholes = SumOfSquares(sharding.Trainable.Where(shard => shard.WorldSize == 1));
        var squares =
            ofSlices is null ? ofWholes!
            : ofWholes is null ? ofSlices
            : ofSlices.AddInPlace(ofWholes);
        return squares.sqrt_().squeeze().MoveToOuterDisposeScope();
    }

    private static Tensor? SumOfSquares(IEnumerable<FlatShard> shards)
    {
        Tensor? sum = null;
        foreach (var shard in shards)
        {
            var square = SumOfSquares(shard.Gradient);
            sum = sum is null ? square : sum.AddInPlace(square);
        }

        return sum?.reshape(1);
    }

    /// <summary>Sum of squares of a gradient [n], float32 or wider; a scalar on the device, in the caller's dispose
    /// scope.</summary>
    internal static Tensor SumOfSquares(Tensor gradient)
    {
        if (gradient.dtype is ScalarType.Float32 or ScalarType.Float64)
        {
            return gradient.dot(gradient);
        }

        using var scope = NewDisposeScope();
        var sum = zeros(1, ScalarType.Float32, gradient.device).squeeze();
        for (long from = 0; from < gradient.shape[0]; from += Piece)
        {
            using var part = NewDisposeScope();
            var wide = gradient.narrow(0, from, Math.Min(Piece, gradient.shape[0] - from)).to_type(ScalarType.Float32);
            sum.AddInPlace(wide.dot(wide));
        }

        return sum.MoveToOuterDisposeScope();
    }

    /// <summary>Factor for gradients so that their norm is at most <paramref name="maximum"/>; in the caller's dispose
    /// scope.</summary>
    /// <param name="norm">The result of <see cref="Of"/>.</param>
    /// <param name="maximum">Maximum norm; 0: no clipping.</param>
    /// <remarks>min(1, maximum / (norm + 1e-6)), as in PyTorch. Source: Pascanu et al., arXiv:1211.5063, section
    /// 3.2.</remarks>
    public static Tensor ClipFactor(Tensor norm, double maximum)
    {
        if (maximum <= 0)
        {
            return ones_like(norm);
        }

        using var scope = NewDisposeScope();
        return norm.Add(1e-6).reciprocal_().MultiplyInPlace(maximum).ClampMaxInPlace(1.0).MoveToOuterDisposeScope();
    }
}
