using GlmTune.Kernels.Definitions;
using GlmTune.Training.Sharding;
using static TorchSharp.torch;

namespace GlmTune.Training.Optimization;

/// <summary>AdamW on a flat run in device memory, by the function that its types need.</summary>
internal static class ShardUpdate
{
    /// <summary>Updates weights and moments in place.</summary>
    /// <param name="kernels">Layer functions of the device.</param>
    /// <param name="weights">Master weights, or the weights themselves [n].</param>
    /// <param name="gradient">[n].</param>
    /// <param name="moments">[n].</param>
    /// <param name="scale">Factor for gradients, a scalar on the device.</param>
    /// <param name="settings">The numbers of this step.</param>
    /// <param name="rounding">The random numbers of the run.</param>
    public static void Run(
        LayerKernels kernels,
        Tensor weights,
        Tensor gradient,
        Moments moments,
        Tensor scale,
        in AdamWStep settings,
        in Rounding rounding
    )
    {
        if (weights.dtype == moments.First.dtype && weights.dtype != ScalarType.BFloat16)
        {
            kernels.AdamW(weights, gradient, moments.First, moments.Second, scale, settings);
        }
        else
        {
            kernels.CompactAdamW(weights, gradient, moments, scale, settings, rounding);
        }
    }

    /// <summary>The random numbers of a shard in an update.</summary>
    public static Rounding RoundingOf(FlatShard shard, MaskSeed step) => new(step, shard.Salt, shard.Start);
}
