using GlmTune.Kernels;
using GlmTune.Kernels.Definitions;
using static TorchSharp.torch;

namespace GlmTune.Benchmarks.Kernels;

/// <summary>A cache of random keys and values, two heads of 128, whose slots have blocks of their own.</summary>
internal static class RandomCache
{
    /// <summary>Creates a cache in bfloat16.</summary>
    /// <param name="slots">Number of slots.</param>
    /// <param name="tokens">Tokens that each slot holds.</param>
    /// <param name="device">Where it is.</param>
    public static CachedBlocks Create(int slots, int tokens, Device device)
    {
        var each = CachedBlocks.For(tokens);
        long[] shape = [slots * each, CachedBlocks.Tokens, 2, 128];
        return new CachedBlocks(
            randn(shape, ScalarType.BFloat16, device),
            randn(shape, ScalarType.BFloat16, device),
            TensorCreation.Range(slots * each, device: device).to(ScalarType.Int32).reshape(slots, each)
        );
    }
}
