using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Native;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Cuda;

/// <summary>Updates of state that is rounded stochastically or coded.</summary>
internal sealed class CompactKernels(IKernelLauncher launcher, KernelFallbacks fallbacks)
{
    private const int PerThread = 8;
    private const int Warp = 32;

    /// <summary>As <see cref="LayerKernels.CompactAdamW"/>; false: the kernel does not take such inputs, and nothing
    /// was done.</summary>
    public bool TryAdamW(
        Tensor weights,
        Tensor gradient,
        Moments moments,
        Tensor gradientScale,
        in AdamWStep settings,
        in Rounding rounding
    )
    {
        var type = KernelTensor.TypeOf(weights);
        var (first, second) = (moments.First, moments.Second);
        var kernel = moments.AreCoded ? "coded_adamw" : "compact_adamw";
        if (
            fallbacks.Refuse(
                KernelGuard
                    .For(kernel)
                    .NeedsContiguous(weights, gradient, first, second)
                    .Needs(
                        type is ScalarType.BFloat16 or ScalarType.Float32 && KernelTensor.TypeOf(gradient) == type,
                        "weights and gradients of one type, bfloat16 or float32"
                    )
                    .Needs(
                        KernelTensor.TypeOf(gradientScale) == ScalarType.Float32
                            && (settings.Stored is null || KernelTensor.TypeOf(settings.Stored) == ScalarType.Float32),
                        "factors in float32"
                    )
            )
        )
        {
            return false;
        }

        var count = weights.numel();
        var aligned = KernelTensor.IsAligned(weights) && KernelTensor.IsAligned(gradient);
        var (shrink, rate, inverse) = settings.Factors;
        if (moments.AreCoded)
        {
            launcher.Launch(
                new("compact_adamw", kernel, type, "COMPUTE", (int)ScalarType.Float32),
                Grid.Covering(BlockCodes.Blocks(count), Threads.PerBlock / Warp),
                Threads.PerBlock,
                weights,
                gradient,
                first,
                second,
                moments.FirstLargest,
                moments.SecondLargest,
                BlockCodes.Values(weights.device),
                gradientScale,
                count,
                aligned && IsAlignedForEightBytes(first) && IsAlignedForEightBytes(second) ? 1 : 0,
                unchecked((uint)rounding.Start),
                rounding.Step.Stored,
                rounding.Step.Key,
                rounding.Salt,
                (float)settings.Beta1,
                (float)settings.Beta2,
                (float)settings.Epsilon,
                settings.Stored,
                (float)shrink,
                (float)rate,
                (float)inverse
            );
            return true;
        }

        launcher.Launch(
            new("compact_adamw", kernel, type, "COMPUTE", (int)KernelTensor.TypeOf(first)),
            Grid.Covering(count, PerThread * Threads.PerBlock),
            Threads.PerBlock,
            weights,
            gradient,
            first,
            second,
            gradientScale,
            count,
            aligned && KernelTensor.IsAligned(first) && KernelTensor.IsAligned(second) ? 1 : 0,
            unchecked((uint)rounding.Start),
            rounding.Step.Stored,
            rounding.Step.Key,
            rounding.Salt,
            (float)settings.Beta1,
            (float)settings.Beta2,
            (float)settings.Epsilon,
            settings.Stored,
            (float)shrink,
            (float)rate,
            (float)inverse
        );
        return true;
    }

    /// <summary>As <see cref="LayerKernels.Accumulate"/>; false: the kernel does not take such inputs, and nothing was
    /// done.</summary>
    public bool TryAccumulate(Tensor sum, Tensor addend, in Rounding rounding)
    {
        var type = KernelTensor.TypeOf(addend);
        if (
            fallbacks.Refuse(
                KernelGuard
                    .For("accumulate")
                    .NeedsContiguous(sum, addend)
                    .Needs(KernelTensor.TypeOf(sum) == ScalarType.BFloat16, "a sum in bfloat16")
                    .Needs(type is ScalarType.BFloat16 or ScalarType.Float32, "addends in bfloat16 or float32")
                    .Needs(rounding.Step.Stored is null, "a seed by value")
            )
        )
        {
            return false;
        }

        launcher.Launch(
            new("accumulate", "accumulate", type),
            Grid.Covering(sum.numel(), PerThread * Threads.PerBlock),
            Threads.PerBlock,
            sum,
            addend,
            sum.numel(),
            KernelTensor.IsAligned(sum) && KernelTensor.IsAligned(addend) ? 1 : 0,
            unchecked((uint)rounding.Start),
            rounding.Step.Key,
            rounding.Salt
        );
        return true;
    }

    private static bool IsAlignedForEightBytes(Tensor tensor) => TensorAddress.Of(tensor) % 8 == 0;
}
