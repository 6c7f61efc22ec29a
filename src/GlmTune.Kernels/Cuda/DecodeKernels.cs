using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Dispatch;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Cuda;

/// <summary>Decoding kernels for one new token per sequence: attention over the KV cache and products of few rows,
/// limited only by memory bandwidth.</summary>
internal sealed class DecodeKernels(IKernelLauncher launcher, PlainKernels plain)
{
    /// <summary>Number of rows up to which our own matrix product is faster than the library's.</summary>
    internal const int MaxRows = 8;

    private static readonly AtenOperator Linear = new(
        "aten::linear.out(Tensor input, Tensor weight, Tensor? bias=None, *, Tensor(a!) out) -> Tensor(a!)"
    );

    // decode_attention.cu: query heads per block, keys per step of all its warps.
    private const int TileHeads = 16;
    private const int BlockKeys = 64;
    private const int MaxParts = 256;
    private const int ShortKeys = 512;
    private const int FewUnits = 16;
    private const int JoinLanes = 4;

    // Up to this many parts, the block that ends last combines them; more are combined by a separate kernel, on more
    // multiprocessors.
    private const int PartsJoinedByLast = 8;
    private const int Units = 4096;

    // project.cu: weight rows per tile; blocks per multiprocessor.
    private const int TileRows = 8;
    private const int BlocksPerMultiprocessor = 6;

    private readonly Lock gate = new();
    private Tensor? counters;

    public Tensor Attention(
        Tensor fused,
        HeadLayout heads,
        SequenceLayout sequences,
        Tensor keys,
        Tensor values,
        Tensor slots,
        Tensor lengths,
        int longest
    )
    {
        if (
            !TwoBytes(fused)
            || !KernelTensor.Fit(KernelTensor.TypeOf(fused), fused, keys, values)
            || !KernelTensor.Whole(slots, lengths)
            || heads.HeadDim is not (64 or 128)
        )
        {
            return plain.CachedAttention(fused, heads, sequences, keys, values, slots, lengths, longest);
        }

        var tiles = (heads.GroupSize + TileHeads - 1) / TileHeads;
        var units = sequences.Count * heads.KeyValueHeads * tiles;
        // Enough parts for three blocks per multiprocessor, none shorter than a block's step. For few short sequences,
        // combining parts takes longer than it saves.
        var parts =
            longest <= ShortKeys && units <= FewUnits
                ? 1
                : Math.Clamp(
                    3 * launcher.Multiprocessors / units,
                    1,
                    Math.Min(MaxParts, (longest + BlockKeys - 1) / BlockKeys)
                );
        var type = KernelTensor.TypeOf(fused);
        var output = KernelTensor.Empty(type, fused.device, sequences.Count, heads.QueryWidth);
        using var partial =
            parts == 1
                ? null
                : KernelTensor.Empty(ScalarType.Float32, fused.device, (long)units * parts * TileHeads * heads.HeadDim);
        using var statistics =
            parts == 1
                ? null
                : KernelTensor.Empty(ScalarType.Float32, fused.device, (long)units * parts * TileHeads, 2);
        var joinedByLast = parts is > 1 and <= PartsJoinedByLast && units <= Units;
        launcher.Launch(
            new("decode_attention", "decode_attention", type, "HEAD_DIM", heads.HeadDim),
            new(parts, heads.KeyValueHeads * tiles, sequences.Count),
            128,
            fused,
            keys,
            values,
            slots,
            lengths,
            output,
            partial,
            statistics,
            joinedByLast ? Counters(fused.device) : null,
            heads.FusedWidth,
            heads.GroupSize,
            tiles,
            heads.KeyValueHeads,
            KernelTensor.Size(keys, 1),
            (float)(1 / Math.Sqrt(heads.HeadDim))
        );
        if (parts > 1 && !joinedByLast)
        {
            launcher.Launch(
                new("decode_attention", "join_parts", type, "HEAD_DIM", heads.HeadDim),
                new(heads.QueryHeads, sequences.Count),
                JoinLanes * heads.HeadDim,
                partial,
                statistics,
                output,
                parts,
                heads.GroupSize,
                tiles,
                heads.KeyValueHeads
            );
        }

        return output;
    }

    public Tensor Project(Tensor x, Tensor weight, Tensor? bias, Tensor? residual)
    {
        var (rows, width, outputs) = (KernelTensor.Size(x, 0), KernelTensor.Size(x, 1), KernelTensor.Size(weight, 0));
        var y = KernelTensor.Empty(KernelTensor.TypeOf(x), x.device, rows, outputs);
        if (!FewRows(x, weight) || !KernelTensor.Fit(KernelTensor.TypeOf(x), bias, residual))
        {
            // With a bias the library takes working memory of its own at each call, which a captured graph must not.
            var biasAfter = bias is not null && TensorArena.Open is not null;
            Linear.CallInPlace(x, weight, biasAfter ? null : bias, y);
            if (biasAfter)
            {
                y.AddInPlace(bias!);
            }

            return residual is null ? y : y.AddInPlace(residual);
        }

        launcher.Launch(
            Kernel("project", x),
            TileGrid((outputs + TileRows - 1) / TileRows),
            128,
            x,
            weight,
            bias,
            residual,
            y,
            rows,
            width,
            outputs
        );
        return y;
    }

    public Tensor ProjectSwiGlu(LayerKernels kernels, Tensor x, Tensor weight)
    {
        var (rows, width, half) = (KernelTensor.Size(x, 0), KernelTensor.Size(x, 1), KernelTensor.Size(weight, 0) / 2);
        if (!FewRows(x, weight))
        {
            using var gateUp = Project(x, weight, null, null);
            return kernels.SwiGlu(gateUp);
        }

        var y = KernelTensor.Empty(KernelTensor.TypeOf(x), x.device, rows, half);
        launcher.Launch(
            Kernel("project_swiglu", x),
            TileGrid((half + (TileRows / 2) - 1) / (TileRows / 2)),
            128,
            x,
            weight,
            y,
            rows,
            width,
            half
        );
        return y;
    }

    // As many blocks as run at once: they iterate over the tiles, and every multiprocessor gets about the same number.
    private Grid TileGrid(int tiles) => new(Math.Min(tiles, BlocksPerMultiprocessor * launcher.Multiprocessors));

    // Zeros, which every launch restores; not from an arena, whose memory is uninitialized.
    private Tensor Counters(Device device)
    {
        lock (gate)
        {
            return counters ??= zeros(Units, ScalarType.Int32, device).DetachFromDisposeScope();
        }
    }

    private static bool TwoBytes(Tensor x) => KernelTensor.TypeOf(x) is ScalarType.BFloat16 or ScalarType.Float16;

    private static bool FewRows(Tensor x, Tensor weight) =>
        TwoBytes(x)
        && KernelTensor.Size(x, 0) is > 0 and <= MaxRows
        && KernelTensor.Size(x, 1) % 8 == 0
        && KernelTensor.Fit(KernelTensor.TypeOf(x), x, weight);

    private static KernelName Kernel(string function, Tensor x) => new("project", function, KernelTensor.TypeOf(x));
}
