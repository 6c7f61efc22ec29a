using GlmTune.Kernels.Definitions;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Cuda;

/// <summary>Low-rank adapters of which each row of a pass uses its own.</summary>
internal sealed class MixedLowRankKernels(IKernelLauncher launcher, KernelFallbacks fallbacks)
{
    // mixed_low_rank.cu: threads of a block; outputs of a block.
    private const int DownThreads = 512;
    private const int UpThreads = 128;
    private const int UpOutputs = 128;

    /// <summary>As <see cref="LayerKernels.MixedDown"/>; null: the kernel cannot be taken.</summary>
    public Tensor? Down(Tensor x, MixedRows rows, MixedLowRank adapters)
    {
        var (type, count, width) = (KernelTensor.TypeOf(x), KernelTensor.Size(x, 0), KernelTensor.Size(x, 1));
        if (fallbacks.Refuse(Guard("mixed_down", type, width).NeedsVectors(type, x)))
        {
            return null;
        }

        var low = KernelTensor.Empty(type, x.device, count, adapters.Columns);
        launcher.Launch(
            new("mixed_low_rank", "mixed_down", type),
            new(adapters.Columns / MixedLowRank.RankStep, KernelTensor.Size(rows.Tiles, 0)),
            DownThreads,
            x,
            adapters.Table,
            rows.Order,
            rows.Tiles,
            low,
            width,
            adapters.Columns
        );
        return low;
    }

    /// <summary>As <see cref="LayerKernels.MixedUp"/>; null: the kernel cannot be taken.</summary>
    public Tensor? Up(Tensor low, MixedRows rows, MixedLowRank adapters, long outputs, Tensor? added)
    {
        var type = KernelTensor.TypeOf(low);
        if (fallbacks.Refuse(Guard("mixed_up", type, outputs).NeedsVectors(type, low, added)))
        {
            return null;
        }

        var y = KernelTensor.Empty(type, low.device, KernelTensor.Size(low, 0), outputs);
        launcher.Launch(
            new("mixed_low_rank", "mixed_up", type),
            new((outputs + UpOutputs - 1) / UpOutputs, KernelTensor.Size(rows.Tiles, 0)),
            UpThreads,
            low,
            adapters.Table,
            rows.Order,
            rows.Tiles,
            added,
            y,
            adapters.Columns,
            (int)outputs
        );
        return y;
    }

    private static KernelGuard Guard(string kernel, ScalarType type, long width) =>
        KernelGuard
            .For(kernel)
            .Needs(type is ScalarType.BFloat16 or ScalarType.Float16, "inputs in bfloat16 or float16")
            .Needs(width % 8 == 0, "rows that are a multiple of 16 bytes");
}
