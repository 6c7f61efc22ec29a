using GlmTune.Kernels.Definitions;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Cuda;

/// <summary>The first half of a low-rank adapter, with dropout of its input.</summary>
internal sealed class LowRankKernels(IKernelLauncher launcher, KernelFallbacks fallbacks)
{
    /// <summary>As <see cref="LayerKernels.LowRankDown"/>; null: the kernel cannot be taken.</summary>
    public Tensor? Down(Tensor x, Tensor a, double probability, MaskSeed seed)
    {
        if (fallbacks.Refuse(Guard("low_rank_down", x, a)))
        {
            return null;
        }

        var (tokens, width, rank) = (KernelTensor.Size(x, 0), KernelTensor.Size(x, 1), KernelTensor.Size(a, 0));
        var low = KernelTensor.Empty(KernelTensor.TypeOf(x), x.device, tokens, rank);
        launcher.Launch(
            Kernel("low_rank_down", x, rank),
            Grid.Covering(tokens, 16),
            128,
            x,
            a,
            low,
            tokens,
            width,
            seed.Stored,
            seed.Key,
            DropoutMask.Threshold(probability),
            (float)(1 / (1 - probability))
        );
        return low;
    }

    /// <summary>As <see cref="LayerKernels.LowRankDownBackward"/>; false, and nothing is done: the kernels cannot be
    /// taken.</summary>
    public bool DownBackward(
        Tensor gradient,
        Tensor x,
        Tensor a,
        double probability,
        MaskSeed seed,
        Tensor? inputGradient,
        Tensor? weightGradient
    )
    {
        var type = KernelTensor.TypeOf(x);
        if (
            fallbacks.Refuse(
                Guard("low_rank_down_backward", x, a)
                    .NeedsVectors(type, gradient, inputGradient)
                    .NeedsVectors(ScalarType.Float32, weightGradient)
            )
        )
        {
            return false;
        }

        var (tokens, width, rank) = (KernelTensor.Size(x, 0), KernelTensor.Size(x, 1), KernelTensor.Size(a, 0));
        var (key, threshold, scale) = (seed.Key, DropoutMask.Threshold(probability), (float)(1 / (1 - probability)));
        // Sixteen warps per multiprocessor, each with a similar number of steps of 16 tokens.
        var (columns, steps) = (width / 64, (tokens + 63) / 64);
        var blocks = Math.Clamp(4 * launcher.Multiprocessors / columns, 1, steps);
        if (inputGradient is not null)
        {
            launcher.Launch(
                Kernel("low_rank_input_gradient", x, rank),
                new(columns, blocks),
                128,
                gradient,
                a,
                inputGradient,
                tokens,
                width,
                seed.Stored,
                key,
                threshold,
                scale
            );
        }

        if (weightGradient is not null)
        {
            using var scope = NewDisposeScope();
            var partial = KernelTensor.Empty(ScalarType.Float32, x.device, blocks, rank, width);
            var padded = (tokens + 15) / 16 * 16;
            var transposed = padded == tokens ? gradient.t().contiguous() : zeros([rank, padded], type, x.device);
            if (padded != tokens)
            {
                transposed.narrow(1, 0, tokens).copy_(gradient.t());
            }

            launcher.Launch(
                Kernel("low_rank_weight_gradient", x, rank),
                new(columns, blocks),
                128,
                transposed,
                x,
                partial,
                tokens,
                padded,
                width,
                seed.Stored,
                key,
                threshold,
                scale
            );
            Columns.Add(launcher, partial, weightGradient, blocks, rank * width);
        }

        return true;
    }

    private static KernelName Kernel(string function, Tensor x, int rank) =>
        new("low_rank", function, KernelTensor.TypeOf(x), "RANK", rank);

    private static KernelGuard Guard(string kernel, Tensor x, Tensor a)
    {
        var type = KernelTensor.TypeOf(x);
        return KernelGuard
            .For(kernel)
            .Needs(type is ScalarType.BFloat16 or ScalarType.Float16, "inputs in bfloat16 or float16")
            .NeedsVectors(type, x, a)
            .Needs(KernelTensor.Size(a, 0) % 8 == 0, "a rank that is a multiple of 8")
            .Needs(KernelTensor.Size(a, 0) <= 40, "a rank of at most 40")
            .Needs(KernelTensor.Size(x, 1) % 64 == 0, "rows that are a multiple of 64 elements")
            .Needs(x.numel() < 1L << 32, "fewer than 2³² elements");
    }
}
