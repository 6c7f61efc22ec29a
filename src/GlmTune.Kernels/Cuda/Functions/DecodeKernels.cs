using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Dispatch;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Cuda;

/// <summary>Decoding kernels for one new token per sequence: attention over the KV cache and products of few rows,
/// limited only by memory bandwidth.</summary>
internal sealed class DecodeKernels(IKernelLauncher launcher, PlainKernels plain, KernelFallbacks fallbacks)
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

    // Max keys of a part where sequences are divided further, and parts for whose sums there is memory.
    private const int UnevenPartKeys = 512;
    private const int EvenPartKeys = 1024;
    private const int PartialSums = 2048;

    // project.cu: weight rows per tile; blocks per multiprocessor.
    private const int TileRows = 8;
    private const int BlocksPerMultiprocessor = 6;

    private readonly Lock gate = new();
    private Tensor? counters;

    /// <summary>The leading sequences of a pass, with one new token each, attend to the cache.</summary>
    /// <param name="fused">Rotated rows of the new tokens [N, (H + 2K)·D].</param>
    /// <param name="heads">How a row is divided into heads.</param>
    /// <param name="cache">Blocks of the cache.</param>
    /// <param name="sequences">The sequences.</param>
    /// <returns>Only their rows, [singles, H·D].</returns>
    public Tensor Attention(Tensor fused, HeadLayout heads, CachedBlocks cache, CachedSequences sequences)
    {
        var (type, rows, longest) = (KernelTensor.TypeOf(fused), sequences.Singles, sequences.LongestSingle);
        if (
            fallbacks.Refuse(
                AttentionGuard(type, heads)
                    .NeedsVectors(type, fused, cache.Keys, cache.Values)
                    .NeedsContiguous(cache.Tables, sequences.Slots, sequences.Lengths)
            )
        )
        {
            using var scope = NewDisposeScope();
            var all = plain.CachedAttention(fused, heads, cache, sequences);
            return all.narrow(0, 0, rows).MoveToOuterDisposeScope();
        }

        var tiles = (heads.GroupSize + TileHeads - 1) / TileHeads;
        var units = rows * heads.KeyValueHeads * tiles;
        var parts = Split(longest, units, sequences.Uneven, launcher.Multiprocessors);
        var output = KernelTensor.Empty(type, fused.device, rows, heads.QueryWidth);
        using var partial =
            parts.Most == 1
                ? null
                : KernelTensor.Empty(
                    ScalarType.Float32,
                    fused.device,
                    (long)units * parts.Most * TileHeads * heads.HeadDim
                );
        using var statistics =
            parts.Most == 1
                ? null
                : KernelTensor.Empty(ScalarType.Float32, fused.device, (long)units * parts.Most * TileHeads, 2);
        var joinsInPlace = parts.Most > 1 && units <= Units;
        launcher.Launch(
            new("decode_attention", "decode_attention", type, "HEAD_DIM", heads.HeadDim),
            new(parts.Most, heads.KeyValueHeads * tiles, rows),
            128,
            fused,
            cache.Keys,
            cache.Values,
            cache.Tables,
            sequences.Slots,
            sequences.Lengths,
            output,
            partial,
            statistics,
            joinsInPlace ? Counters(fused.device) : null,
            heads.FusedWidth,
            heads.GroupSize,
            tiles,
            heads.KeyValueHeads,
            KernelTensor.Size(cache.Tables, 1),
            parts.Even,
            parts.MostSteps,
            (float)(1 / Math.Sqrt(heads.HeadDim))
        );
        if (parts.Most > (joinsInPlace ? PartsJoinedByLast : 1))
        {
            launcher.Launch(
                new("decode_attention", "join_parts", type, "HEAD_DIM", heads.HeadDim),
                new(heads.QueryHeads, rows),
                JoinLanes * heads.HeadDim,
                partial,
                statistics,
                sequences.Lengths,
                output,
                parts.Most,
                heads.GroupSize,
                tiles,
                heads.KeyValueHeads,
                parts.Even,
                parts.MostSteps,
                joinsInPlace ? PartsJoinedByLast : 1
            );
        }

        return output;
    }

    // Enough parts for three blocks per multiprocessor if all sequences are alike, none shorter than a block's step;
    // for few short sequences, combining parts takes longer than it saves. Sequences that are longer than the others
    // are divided further, so that the others need not wait for them; so are all where there are more blocks than run
    // at once, because the last ones would run alone.
    private static (int Even, int Most, int MostSteps) Split(int longest, int units, bool uneven, int multiprocessors)
    {
        var even =
            longest <= ShortKeys && units <= FewUnits
                ? 1
                : Math.Clamp(3 * multiprocessors / units, 1, Math.Min(MaxParts, (longest + BlockKeys - 1) / BlockKeys));
        if (!uneven && (even > 1 || units <= FewUnits))
        {
            return (even, even, int.MaxValue / 2);
        }

        var partKeys = uneven ? UnevenPartKeys : EvenPartKeys;
        var most = Math.Clamp(Math.Min((longest + partKeys - 1) / partKeys, PartialSums / units), even, MaxParts);
        var steps = (longest + CachedBlocks.Tokens - 1) / CachedBlocks.Tokens;
        return (even, most, Math.Max(partKeys / CachedBlocks.Tokens, (steps + most - 1) / most));
    }

    public Tensor Project(Tensor x, Tensor weight, Tensor? bias, Tensor? residual)
    {
        var y = KernelTensor.Empty(
            KernelTensor.TypeOf(x),
            x.device,
            KernelTensor.Size(x, 0),
            KernelTensor.Size(weight, 0)
        );
        if (!FewRows(x) || fallbacks.Refuse(ProjectGuard("project", x, weight, bias, residual)))
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

        Launch(x, weight, bias, residual, y);
        return y;
    }

    /// <summary>As <see cref="LayerKernels.AddProduct"/>; false: the kernel is not taken.</summary>
    public bool AddProduct(Tensor y, Tensor x, Tensor weight)
    {
        if (!FewRows(x) || fallbacks.Refuse(ProjectGuard("project", x, weight, residual: y)))
        {
            return false;
        }

        Launch(x, weight, null, y, y);
        return true;
    }

    // The result may be the residual: a thread reads an element before it writes it.
    private void Launch(Tensor x, Tensor weight, Tensor? bias, Tensor? residual, Tensor y) =>
        launcher.Launch(
            Kernel("project", x),
            TileGrid((KernelTensor.Size(weight, 0) + TileRows - 1) / TileRows),
            128,
            x,
            weight,
            bias,
            residual,
            y,
            KernelTensor.Size(x, 0),
            KernelTensor.Size(x, 1),
            KernelTensor.Size(weight, 0)
        );

    public Tensor ProjectSwiGlu(LayerKernels kernels, Tensor x, Tensor weight)
    {
        var (rows, width, half) = (KernelTensor.Size(x, 0), KernelTensor.Size(x, 1), KernelTensor.Size(weight, 0) / 2);
        if (!FewRows(x) || fallbacks.Refuse(ProjectGuard("project_swiglu", x, weight)))
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

    /// <summary>Whether a pass of few rows needs neither plain operators nor the library, which allocate
    /// memory.</summary>
    /// <param name="type">The model's type.</param>
    /// <param name="heads">Heads of attention.</param>
    /// <param name="widths">Input features of the linear layers.</param>
    public static bool TakesAll(ScalarType type, HeadLayout heads, params ReadOnlySpan<int> widths)
    {
        var holds = AttentionGuard(type, heads).Holds;
        foreach (var width in widths)
        {
            holds &= ProjectGuard("project", type, width).Holds;
        }

        return holds;
    }

    public Tensor ArgMax(Tensor logits, int count)
    {
        if (fallbacks.Refuse(KernelGuard.For("argmax").NeedsVectors(KernelTensor.TypeOf(logits), logits)))
        {
            return plain.ArgMax(logits, count);
        }

        var result = KernelTensor.Empty(ScalarType.Float64, logits.device, 2, KernelTensor.Size(logits, 0));
        launcher.Launch(
            new("argmax", "argmax", KernelTensor.TypeOf(logits)),
            new(KernelTensor.Size(logits, 0)),
            Threads.For(count, 1024),
            logits,
            result,
            KernelTensor.Size(logits, 1),
            count
        );
        return result;
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

    private static bool TwoBytes(ScalarType type) => type is ScalarType.BFloat16 or ScalarType.Float16;

    // More rows go to the library by choice.
    private static bool FewRows(Tensor x) => KernelTensor.Size(x, 0) is > 0 and <= MaxRows;

    private static KernelGuard AttentionGuard(ScalarType type, HeadLayout heads) =>
        KernelGuard
            .For("decode_attention")
            .Needs(TwoBytes(type), "inputs in bfloat16 or float16")
            .Needs(heads.HeadDim is 64 or 128, "a head dimension of 64 or 128");

    private static KernelGuard ProjectGuard(
        string kernel,
        Tensor x,
        Tensor weight,
        Tensor? bias = null,
        Tensor? residual = null
    )
    {
        var type = KernelTensor.TypeOf(x);
        return ProjectGuard(kernel, type, KernelTensor.Size(x, 1)).NeedsVectors(type, x, weight, bias, residual);
    }

    private static KernelGuard ProjectGuard(string kernel, ScalarType type, int width) =>
        KernelGuard
            .For(kernel)
            .Needs(TwoBytes(type), "inputs in bfloat16 or float16")
            .Needs(width % 8 == 0, "rows that are a multiple of 16 bytes");

    private static KernelName Kernel(string function, Tensor x) => new("project", function, KernelTensor.TypeOf(x));
}
