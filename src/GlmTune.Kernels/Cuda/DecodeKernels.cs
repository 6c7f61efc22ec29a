using GlmTune.Kernels.Dispatch;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Cuda;

/// <summary>One new token a sequence: attention over the cache and products of a few rows, as fast as memory can be read.</summary>
internal sealed class DecodeKernels(IKernelLauncher launcher, PlainKernels plain)
{
    /// <summary>Rows up to which the own matrix product beats the library's.</summary>
    internal const int MostRows = 16;

    private static readonly AtenOperator Linear = new("aten::linear.out(Tensor input, Tensor weight, Tensor? bias=None, *, Tensor(a!) out) -> Tensor(a!)");

    // decode_attention.cu: query heads of a block, keys of a step of all its warps.
    private const int TileHeads = 16;
    private const int BlockKeys = 64;

    public Tensor Attention(
        Tensor fused, HeadLayout heads, SequenceLayout sequences, Tensor keys, Tensor values, Tensor slots, Tensor lengths, int longest)
    {
        if (!TwoBytes(fused) || !Memory.Fit(fused.dtype, fused, keys, values) || !Memory.Whole(slots, lengths) || heads.HeadDim % 64 != 0)
        {
            return plain.CachedAttention(fused, heads, sequences, keys, values, slots, lengths, longest);
        }
        var tiles = (heads.GroupSize + TileHeads - 1) / TileHeads;
        var units = sequences.Count * heads.KeyValueHeads * tiles;
        // Enough parts for two blocks a multiprocessor, none shorter than a block's step.
        var parts = Math.Clamp(2 * launcher.Multiprocessors / units, 1, (longest + BlockKeys - 1) / BlockKeys);
        var output = Memory.Empty(fused.dtype, fused.device, sequences.Count, heads.QueryWidth);
        using var partial = parts == 1 ? null : Memory.Empty(ScalarType.Float32, fused.device, (long)units * parts * TileHeads * (heads.HeadDim + 2));
        launcher.Launch(
            new("decode_attention", "decode_attention", fused.dtype, "HEAD_DIM", heads.HeadDim), new(parts, heads.KeyValueHeads * tiles, sequences.Count), 128,
            fused, keys, values, slots, lengths, output, partial, heads.FusedWidth, heads.GroupSize, tiles, heads.KeyValueHeads, keys.shape[1],
            (float)(1 / Math.Sqrt(heads.HeadDim)));
        if (parts > 1)
        {
            launcher.Launch(
                new("decode_attention", "join_parts", fused.dtype, "HEAD_DIM", heads.HeadDim), new(heads.QueryHeads, sequences.Count), heads.HeadDim,
                partial, output, parts, heads.GroupSize, tiles, heads.KeyValueHeads);
        }
        return output;
    }

    public Tensor Project(Tensor x, Tensor weight, Tensor? bias, Tensor? residual)
    {
        var (rows, width, outputs) = ((int)x.shape[0], (int)x.shape[1], (int)weight.shape[0]);
        var y = Memory.Empty(x.dtype, x.device, rows, outputs);
        if (!FewRows(x, weight) || !Memory.Fit(x.dtype, bias, residual))
        {
            // With a bias the library takes working memory of its own at each call, which a recorded graph must not.
            var biasAfter = bias is not null && TensorArena.Open is not null;
            Linear.CallInPlace(x, weight, biasAfter ? null : bias, y);
            if (biasAfter)
            {
                y.add_(bias!);
            }
            return residual is null ? y : y.add_(residual);
        }
        launcher.Launch(Kernel("project", x), Grid.Covering(outputs, 16), 256, x, weight, bias, residual, y, rows, width, outputs);
        return y;
    }

    public Tensor ProjectSwiGlu(LayerKernels kernels, Tensor x, Tensor weight)
    {
        var (rows, width, half) = ((int)x.shape[0], (int)x.shape[1], (int)weight.shape[0] / 2);
        if (!FewRows(x, weight))
        {
            using var gateUp = Project(x, weight, null, null);
            return kernels.SwiGlu(gateUp);
        }
        var y = Memory.Empty(x.dtype, x.device, rows, half);
        launcher.Launch(Kernel("project_swiglu", x), Grid.Covering(half, 8), 256, x, weight, y, rows, width, half);
        return y;
    }

    private static bool TwoBytes(Tensor x) => x.dtype is ScalarType.BFloat16 or ScalarType.Float16;

    private static bool FewRows(Tensor x, Tensor weight)
        => TwoBytes(x) && x.shape[0] is > 0 and <= MostRows && x.shape[1] % 8 == 0 && Memory.Fit(x.dtype, x, weight);

    private static KernelName Kernel(string function, Tensor x) => new("project", function, x.dtype, "TILES", x.shape[0] <= 8 ? 1 : x.shape[0] <= 16 ? 2 : 4);
}
