using GlmTune.Kernels.Definitions;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Cuda;

/// <summary>Low-rank adapters of which each row of a pass uses its own.</summary>
internal sealed class MixedLowRankKernels(IKernelLauncher launcher, KernelFallbacks fallbacks)
{
    // mixed_low_rank.cu: threads of a block, and what it takes of the width or of the outputs.
    private const int DownThreads = 256;
    private const int DownWidth = 2048;
    private const int UpThreads = 128;
    private const int UpOutputs = 512;

    // Tiles that blocks begin with; they go on to the others, most of which are empty in a captured pass.
    private const int UpTiles = 32;

    /// <summary>As <see cref="LayerKernels.MixedLowRank"/>; null: the kernels cannot be taken.</summary>
    public Tensor? MixedLowRank(Tensor x, MixedRows rows, MixedLowRank adapters, long outputs, Tensor? added)
    {
        var (type, count, width) = (KernelTensor.TypeOf(x), KernelTensor.Size(x, 0), KernelTensor.Size(x, 1));
        if (
            fallbacks.Refuse(
                KernelGuard
                    .For("mixed_low_rank")
                    .Needs(type is ScalarType.BFloat16 or ScalarType.Float16, "inputs in bfloat16 or float16")
                    .Needs(width % 8 == 0 && outputs % 8 == 0, "rows that are a multiple of 16 bytes")
                    .NeedsVectors(type, x, added)
            )
        )
        {
            return null;
        }

        var (columns, tiles, splits) = (
            adapters.Columns,
            KernelTensor.Size(rows.Tiles, 0),
            (width + DownWidth - 1) / DownWidth
        );
        using var low = KernelTensor.Empty(ScalarType.Float32, x.device, splits, count, columns);
        launcher.Launch(
            new("mixed_low_rank", "mixed_down", type),
            new(columns / Definitions.MixedLowRank.RankStep, tiles, splits),
            DownThreads,
            x,
            adapters.Table,
            rows.Order,
            rows.Tiles,
            low,
            count,
            width,
            columns
        );
        var y = KernelTensor.Empty(type, x.device, count, outputs);
        launcher.Launch(
            new("mixed_low_rank", "mixed_up", type),
            new((outputs + UpOutputs - 1) / UpOutputs, Math.Min(tiles, UpTiles)),
            UpThreads,
            low,
            adapters.Table,
            rows.Order,
            rows.Tiles,
            added,
            y,
            count,
            columns,
            (int)outputs,
            tiles,
            splits
        );
        return y;
    }
}
