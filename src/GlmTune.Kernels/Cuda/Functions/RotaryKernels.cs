using GlmTune.Kernels.Definitions;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Cuda;

/// <summary>Rotary position embedding.</summary>
internal sealed class RotaryKernels(IKernelLauncher launcher, PlainKernels plain, KernelFallbacks fallbacks)
{
    public void Rotate(Tensor fused, Tensor cosine, Tensor sine, HeadLayout heads, bool inverse = false)
    {
        if (fallbacks.Refuse(Guard("rotate", fused, cosine, sine, heads)))
        {
            plain.Rotate(fused, cosine, sine, heads, inverse);
            return;
        }

        var (tokens, rotated) = (KernelTensor.Size(fused, 0), heads.QueryHeads + heads.KeyValueHeads);
        var pieces = (long)tokens * rotated * (heads.RotaryDim / KernelTensor.VectorWidth(KernelTensor.TypeOf(fused)));
        launcher.Launch(
            new("rotary", "rotate", KernelTensor.TypeOf(fused)),
            Grid.Covering(pieces, Threads.PerBlock),
            Threads.PerBlock,
            fused,
            cosine,
            sine,
            tokens,
            heads.FusedWidth,
            rotated,
            heads.HeadDim,
            heads.RotaryDim,
            inverse ? -1f : 1f
        );
    }

    public void RotateAndCache(
        Tensor fused,
        Tensor cosine,
        Tensor sine,
        HeadLayout heads,
        CachedBlocks cache,
        Tensor slots,
        Tensor positions
    )
    {
        if (
            fallbacks.Refuse(
                Guard("rotate_and_cache", fused, cosine, sine, heads)
                    .NeedsVectors(KernelTensor.TypeOf(fused), cache.Keys, cache.Values)
                    .NeedsContiguous(cache.Tables, slots, positions)
            )
        )
        {
            plain.RotateAndCache(fused, cosine, sine, heads, cache, slots, positions);
            return;
        }

        var tokens = KernelTensor.Size(fused, 0);
        launcher.Launch(
            new("rotary", "rotate_and_cache", KernelTensor.TypeOf(fused)),
            Grid.Covering(
                (long)tokens * heads.FusedWidth / KernelTensor.VectorWidth(KernelTensor.TypeOf(fused)),
                Threads.PerBlock
            ),
            Threads.PerBlock,
            fused,
            cosine,
            sine,
            cache.Keys,
            cache.Values,
            cache.Tables,
            slots,
            positions,
            tokens,
            heads.FusedWidth,
            heads.QueryWidth,
            heads.KeyValueWidth,
            heads.HeadDim,
            heads.RotaryDim,
            KernelTensor.Size(cache.Tables, 1)
        );
    }

    private static KernelGuard Guard(string kernel, Tensor fused, Tensor cosine, Tensor sine, HeadLayout heads)
    {
        var type = KernelTensor.TypeOf(fused);
        return KernelGuard
            .For(kernel)
            .NeedsVectors(type, fused)
            .NeedsVectors(ScalarType.Float32, cosine, sine)
            .NeedsWholeVectors(type, heads.RotaryDim)
            .NeedsWholeVectors(type, heads.HeadDim);
    }
}
