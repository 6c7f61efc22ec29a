using GlmTune.Kernels.Definitions;
using GlmTune.Model.Layers;
using GlmTune.Training.Sharding;
using static TorchSharp.torch;

namespace GlmTune.Training.Optimization;

/// <summary>AdamW on a flat run in device memory, by the function that its types need.</summary>
internal static class ShardUpdate
{
    /// <summary>Updates a shard whose state is in device memory.</summary>
    /// <param name="kernels">Layer functions of the device.</param>
    /// <param name="shard">The shard.</param>
    /// <param name="scale">Factor for gradients, a scalar on the device.</param>
    /// <param name="settings">The numbers of this step.</param>
    /// <param name="rounding">Seed of the step's rounding.</param>
    public static void Run(
        LayerKernels kernels,
        FlatShard shard,
        Tensor scale,
        in AdamWStep settings,
        MaskSeed rounding
    )
    {
        if (IsFull(shard.Master, shard.Moments))
        {
            kernels.AdamW(shard.Master, shard.Gradient, shard.Moments.First, shard.Moments.Second, scale, settings);
            return;
        }

        foreach (var (parameter, inShard, inParameter, count) in shard.Overlaps())
        {
            using var scope = NewDisposeScope();
            kernels.CompactAdamW(
                shard.Master.narrow(0, inShard, count),
                shard.Gradient.narrow(0, inShard, count),
                shard.Moments.Narrow(inShard, count),
                scale,
                settings,
                RoundingOf(parameter, rounding, inParameter)
            );
        }
    }

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
        if (IsFull(weights, moments))
        {
            kernels.AdamW(weights, gradient, moments.First, moments.Second, scale, settings);
        }
        else
        {
            kernels.CompactAdamW(weights, gradient, moments, scale, settings, rounding);
        }
    }

    /// <summary>The random numbers of a parameter's elements from <paramref name="start"/> on: they depend neither on
    /// how parameters are grouped nor on how they are divided.</summary>
    public static Rounding RoundingOf(Parameter parameter, MaskSeed seed, long start) =>
        new(seed, Rounding.SaltOf(parameter.Name), start);

    private static bool IsFull(Tensor weights, Moments moments) =>
        weights.dtype == moments.First.dtype && weights.dtype != ScalarType.BFloat16;
}
