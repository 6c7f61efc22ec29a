using GlmTune.Collectives;
using GlmTune.Kernels;
using GlmTune.Kernels.Definitions;
using GlmTune.Model.Layers;
using static TorchSharp.torch;

namespace GlmTune.Training.SequenceParallel;

/// <summary>Exchanges tokens for heads between ranks by one all-to-all, and back by another.</summary>
/// <remarks>Rank r of N ranks has query heads [r·H/N, (r+1)·H/N). If there are fewer key-value heads than ranks,
/// several ranks get the same one: GLM-4 has two heads, 256 features in total each for keys and values, so the copies
/// cost little compared to the queries. A forward call sends (H + 2·k·N)·D features of each token. Gradients of a
/// shared key-value head are summed in float32 or wider, in rank order. Does not own the layout.</remarks>
internal sealed class HeadExchange : AttentionExchange
{
    private readonly ICollectives ranks;
    private readonly HeadLayout all;
    private readonly int size;

    /// <param name="ranks">All ranks, of which groups of <paramref name="size"/> consecutive ones share a pass
    /// each.</param>
    /// <param name="size">Number of ranks that share a pass; a divisor of their number.</param>
    /// <param name="heads">All heads of the model.</param>
    /// <param name="sequences">All tokens of the pass, equally many for each rank.</param>
    /// <exception cref="ArgumentException">Heads or tokens cannot be divided equally.</exception>
    public HeadExchange(ICollectives ranks, int size, HeadLayout heads, SequenceLayout sequences)
    {
        (this.ranks, this.size, all, Sequences) = (ranks, size, heads, sequences);
        if (Problem(heads, size) is { } problem)
        {
            throw new ArgumentException(problem, nameof(ranks));
        }

        if (sequences.Tokens % size != 0)
        {
            throw new ArgumentException(
                $"{sequences.Tokens} tokens cannot be split into {size} equal parts.",
                nameof(sequences)
            );
        }

        var queries = heads.QueryHeads / size;
        Heads = heads with { QueryHeads = queries, KeyValueHeads = Math.Max(1, queries / heads.GroupSize) };
    }

    /// <inheritdoc/>
    public override HeadLayout Heads { get; }

    /// <inheritdoc/>
    public override SequenceLayout Sequences { get; }

    private int Run => Sequences.Tokens / size;

    /// <summary>Why this many ranks cannot share these heads; null if they can.</summary>
    public static string? Problem(HeadLayout heads, int worldSize)
    {
        if (heads.QueryHeads % worldSize != 0)
        {
            return $"{heads.QueryHeads} query heads cannot be divided among {worldSize} ranks; the number of query "
                + "heads must be a multiple of the number of ranks.";
        }

        var queries = heads.QueryHeads / worldSize;
        return queries % heads.GroupSize == 0 || heads.GroupSize % queries == 0
            ? null
            : $"{queries} query heads per rank do not match groups of {heads.GroupSize} that share a key-value "
                + "head; one must be a multiple of the other.";
    }

    /// <inheritdoc/>
    public override Tensor ToHeads(Tensor fused)
    {
        using var scope = NewDisposeScope();
        var slices = new List<Tensor>();
        for (var rank = 0; rank < size; rank++)
        {
            var first = FirstKeyValueHead(rank) * all.HeadDim;
            slices.Add(
                cat(
                    [
                        fused.narrow(1, rank * Heads.QueryWidth, Heads.QueryWidth),
                        fused.narrow(1, all.QueryWidth + first, Heads.KeyValueWidth),
                        fused.narrow(1, all.QueryWidth + all.KeyValueWidth + first, Heads.KeyValueWidth),
                    ],
                    1
                )
            );
        }

        return Exchanged(stack(slices, 0)).view(Sequences.Tokens, Heads.FusedWidth).MoveToOuterDisposeScope();
    }

    /// <inheritdoc/>
    public override Tensor ToTokens(Tensor attended)
    {
        using var scope = NewDisposeScope();
        var received = Exchanged(attended.contiguous()).view(size, Run, Heads.QueryWidth);
        return received.transpose(0, 1).reshape(Run, all.QueryWidth).MoveToOuterDisposeScope();
    }

    /// <inheritdoc/>
    public override Tensor GradientToHeads(Tensor gradient)
    {
        using var scope = NewDisposeScope();
        var slices = gradient.view(Run, size, Heads.QueryWidth).transpose(0, 1).contiguous();
        return Exchanged(slices).view(Sequences.Tokens, Heads.QueryWidth).MoveToOuterDisposeScope();
    }

    /// <inheritdoc/>
    public override Tensor GradientToTokens(Tensor gradient)
    {
        using var scope = NewDisposeScope();
        var received = Exchanged(gradient.contiguous()).view(size, Run, Heads.FusedWidth);
        var result = empty([Run, all.FusedWidth], gradient.dtype, gradient.device);
        result
            .narrow(1, 0, all.QueryWidth)
            .copy_(received.narrow(2, 0, Heads.QueryWidth).transpose(0, 1).reshape(Run, all.QueryWidth));
        var wide = gradient.dtype == ScalarType.Float64 ? ScalarType.Float64 : ScalarType.Float32;
        var sums = zeros([Run, 2, all.KeyValueWidth], wide, gradient.device);
        for (var rank = 0; rank < size; rank++)
        {
            var part = received[rank]
                .narrow(1, Heads.QueryWidth, 2 * Heads.KeyValueWidth)
                .view(Run, 2, Heads.KeyValueWidth);
            sums.narrow(2, FirstKeyValueHead(rank) * all.HeadDim, Heads.KeyValueWidth).AddInPlace(part);
        }

        result.narrow(1, all.QueryWidth, 2 * all.KeyValueWidth).copy_(sums.view(Run, 2 * all.KeyValueWidth));
        return result.MoveToOuterDisposeScope();
    }

    /// <inheritdoc/>
    public override Tensor OfPrefix(Tensor prefix) =>
        prefix.narrow(2, FirstKeyValueHead(ranks.Rank % size), Heads.KeyValueHeads);

    private int FirstKeyValueHead(int rank) => rank * Heads.QueryHeads / all.GroupSize;

    private Tensor Exchanged(Tensor send)
    {
        var receive = empty_like(send);
        ranks.AllToAll(send, receive, new CallLabel(null, "attention"), size).Wait();
        return receive;
    }
}
