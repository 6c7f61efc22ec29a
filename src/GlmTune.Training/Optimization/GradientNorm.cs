using GlmTune.Training.Sharding;
using static TorchSharp.torch;

namespace GlmTune.Training.Optimization;

/// <summary>The norm of all gradients together, and the factor that clips it.</summary>
public static class GradientNorm
{
    /// <summary>Euclidean norm over all shards of all ranks, a scalar on the device; in the caller's dispose scope.</summary>
    public static Tensor Of(ISharding sharding)
    {
        using var scope = NewDisposeScope();
        Tensor? sum = null;
        foreach (var shard in sharding.Trainable)
        {
            var square = shard.Gradient.dot(shard.Gradient);
            sum = sum is null ? square : sum.add_(square);
        }
        var squares = sum!.reshape(1);
        sharding.Sum(squares);
        return squares.sqrt_().squeeze().MoveToOuterDisposeScope();
    }

    /// <summary>What gradients are multiplied by so that their norm is at most <paramref name="maximum"/>; in the caller's dispose scope.</summary>
    /// <param name="norm">From <see cref="Of"/>.</param>
    /// <param name="maximum">Largest norm; 0: no clipping.</param>
    /// <remarks>min(1, maximum / (norm + 1e-6)), as PyTorch has it. Source: Pascanu et al., arXiv:1211.5063, section 3.2.</remarks>
    public static Tensor ClipFactor(Tensor norm, double maximum)
    {
        if (maximum <= 0)
        {
            return ones_like(norm);
        }
        using var scope = NewDisposeScope();
        return (norm + 1e-6).reciprocal_().mul_(maximum).clamp_(max: 1.0).MoveToOuterDisposeScope();
    }
}
