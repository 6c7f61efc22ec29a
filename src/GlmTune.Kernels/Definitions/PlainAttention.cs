using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace GlmTune.Kernels.Definitions;

/// <summary>Attention by plain operators, on sequences padded to the longest.</summary>
internal static class PlainAttention
{
    /// <inheritdoc cref="LayerKernels.Attention"/>
    public static Tensor Forward(Tensor fused, HeadLayout heads, SequenceLayout sequences, Tensor? prefix, Tape? tape)
    {
        using var scope = NewDisposeScope();
        var block = ToBlock(fused, sequences);
        var (query, key, value) = SplitHeads(block, heads);
        if (prefix is not null)
        {
            key = cat([SharedByRows(prefix[0], sequences.Count), key], 2);
            value = cat([SharedByRows(prefix[1], sequences.Count), value], 2);
        }

        var virtualTokens = (int)(key.shape[2] - sequences.Longest);
        var hidden = Hidden(sequences.Longest, virtualTokens, heads.GroupSize, fused.device);
        var probabilities = Softmax(query, key, hidden, heads);
        if (tape is not null)
        {
            tape.Save(query);
            tape.Save(key);
            tape.Save(value);
            tape.Save(probabilities);
        }

        return FromBlock(MergeHeads(Product(probabilities, value), heads), sequences).MoveToOuterDisposeScope();
    }

    /// <inheritdoc cref="LayerKernels.AttentionBackward"/>
    public static Tensor Backward(
        Tensor gradient,
        HeadLayout heads,
        SequenceLayout sequences,
        Tensor? prefixGradient,
        Tape tape
    )
    {
        using var scope = NewDisposeScope();
        using var probabilities = tape.TakeTensor();
        using var value = tape.TakeTensor();
        using var key = tape.TakeTensor();
        using var query = tape.TakeTensor();
        var outer = SplitQueries(ToBlock(gradient, sequences, zeroPadding: true), heads);
        var valueGradient = Product(probabilities.transpose(-1, -2), outer);
        var wide = PlainKernels.Widen(probabilities);
        var scoreGradient = PlainKernels.Widen(Product(outer, value.transpose(-1, -2)));
        scoreGradient = ((scoreGradient - (scoreGradient * wide).sum(-1, keepdim: true)) * wide).Multiply(Scale(heads));
        scoreGradient = scoreGradient.to_type(query.dtype);
        var queryGradient = Product(scoreGradient, key);
        var keyGradient = Product(scoreGradient.transpose(-1, -2), query);
        var virtualTokens = key.shape[2] - sequences.Longest;
        if (virtualTokens > 0)
        {
            prefixGradient?.AddInPlace(
                stack([
                    PlainKernels.Widen(keyGradient.narrow(2, 0, virtualTokens)).sum([0L]).transpose(0, 1),
                    PlainKernels.Widen(valueGradient.narrow(2, 0, virtualTokens)).sum([0L]).transpose(0, 1),
                ])
            );
            keyGradient = keyGradient.narrow(2, virtualTokens, sequences.Longest);
            valueGradient = valueGradient.narrow(2, virtualTokens, sequences.Longest);
        }

        var block = cat(
            [MergeHeads(queryGradient, heads), MergeKeyValue(keyGradient), MergeKeyValue(valueGradient)],
            -1
        );
        return FromBlock(block, sequences).MoveToOuterDisposeScope();
    }

    /// <inheritdoc cref="LayerKernels.CachedAttention"/>
    public static Tensor Cached(Tensor fused, HeadLayout heads, CachedBlocks cache, CachedSequences sequences)
    {
        using var scope = NewDisposeScope();
        var (singles, parts) = (sequences.Singles, new List<Tensor>());
        if (singles > 0)
        {
            using var layout = SequenceLayout.OfRows(singles, 1, fused.device);
            parts.Add(Part(layout, 0, 0, sequences.LongestSingle));
        }

        if (sequences.Several is { } several)
        {
            parts.Add(Part(several, singles, singles, sequences.SeveralKeys!.Longest));
        }

        return (parts.Count == 1 ? parts[0] : cat([.. parts])).MoveToOuterDisposeScope();

        Tensor Part(SequenceLayout layout, int firstToken, int firstSequence, int longest) =>
            Cached(
                fused.narrow(0, firstToken, layout.Tokens),
                heads,
                cache,
                layout,
                sequences.Slots.narrow(0, firstSequence, layout.Count),
                sequences.Lengths.narrow(0, firstSequence, layout.Count),
                longest
            );
    }

    private static Tensor Cached(
        Tensor fused,
        HeadLayout heads,
        CachedBlocks cache,
        SequenceLayout sequences,
        Tensor slots,
        Tensor lengths,
        int longest
    )
    {
        using var scope = NewDisposeScope();
        var query = SplitQueries(ToBlock(fused, sequences).narrow(2, 0, heads.QueryWidth), heads);
        var blocks = cache.Tables.narrow(1, 0, CachedBlocks.For(longest)).index_select(0, slots).flatten();
        var (key, value) = (Gathered(cache.Keys), Gathered(cache.Values));
        // New token t of a sequence with n new tokens sees the first length − n + t + 1 cached ones.
        var added = tensor(Enumerable.Range(0, sequences.Count).Select(i => (long)sequences.LengthOf(i)).ToArray())
            .to(fused.device);
        var last = (lengths - added).unsqueeze(1).Add(TensorCreation.Range(sequences.Longest, device: fused.device));
        var hidden = TensorCreation.Range(longest, device: fused.device) > last.unsqueeze(2);
        hidden = hidden.unsqueeze(1).unsqueeze(2).expand(-1, 1, heads.GroupSize, -1, -1).flatten(2, 3);
        var probabilities = Softmax(query, key, hidden, heads);
        return FromBlock(MergeHeads(Product(probabilities, value), heads), sequences).MoveToOuterDisposeScope();

        Tensor Gathered(Tensor stored) =>
            stored
                .index_select(0, blocks)
                .view(sequences.Count, -1, heads.KeyValueHeads, heads.HeadDim)
                .narrow(1, 0, longest)
                .transpose(1, 2);
    }

    private static double Scale(HeadLayout heads) => 1 / Math.Sqrt(heads.HeadDim);

    // [N, width] -> [sequences, longest, width]; padding, on the right, repeats token 0 or is zero.
    private static Tensor ToBlock(Tensor tokens, SequenceLayout sequences, bool zeroPadding = false)
    {
        var width = tokens.shape[1];
        if (sequences.Uniform)
        {
            return tokens.view(sequences.Count, sequences.Longest, width);
        }

        var block = zeroPadding
            ? zeros(sequences.Count * sequences.Longest, width, tokens.dtype, tokens.device)
                .index_copy_(0, sequences.UnpadIndex, tokens)
            : tokens.index_select(0, sequences.PadIndex);
        return block.view(sequences.Count, sequences.Longest, width);
    }

    private static Tensor FromBlock(Tensor block, SequenceLayout sequences)
    {
        var flat = block.reshape(-1, block.shape[2]);
        return sequences.Uniform ? flat : flat.index_select(0, sequences.UnpadIndex);
    }

    private static (Tensor Query, Tensor Key, Tensor Value) SplitHeads(Tensor block, HeadLayout heads)
    {
        var key = block.narrow(2, heads.QueryWidth, heads.KeyValueWidth);
        var value = block.narrow(2, heads.QueryWidth + heads.KeyValueWidth, heads.KeyValueWidth);
        return (
            SplitQueries(block.narrow(2, 0, heads.QueryWidth), heads),
            key.unflatten(2, heads.KeyValueHeads, heads.HeadDim).transpose(1, 2),
            value.unflatten(2, heads.KeyValueHeads, heads.HeadDim).transpose(1, 2)
        );
    }

    // [B, T, H·D] -> [B, K, G·T, D]: the query heads of a group are stacked, so no key is repeated.
    private static Tensor SplitQueries(Tensor block, HeadLayout heads) =>
        block.unflatten(2, heads.KeyValueHeads, heads.GroupSize, heads.HeadDim).permute(0, 2, 3, 1, 4).flatten(2, 3);

    // [B, K, G·T, D] -> [B, T, H·D]
    private static Tensor MergeHeads(Tensor grouped, HeadLayout heads) =>
        grouped.unflatten(2, heads.GroupSize, -1).permute(0, 3, 1, 2, 4).flatten(2, 4);

    // [B, K, T, D] -> [B, T, K·D]
    private static Tensor MergeKeyValue(Tensor grouped) => grouped.transpose(1, 2).flatten(2, 3);

    // [P, K, D] -> [B, K, P, D]
    private static Tensor SharedByRows(Tensor prefix, int rows) =>
        prefix.transpose(0, 1).unsqueeze(0).expand(rows, -1, -1, -1);

    // True where query t (rows repeat for each of the group's heads) must not see key s; virtual tokens come first and
    // are visible.
    private static Tensor Hidden(int length, int virtualTokens, int groupSize, Device device) =>
        ones([length, virtualTokens + length], ScalarType.Bool, device).triu_(virtualTokens + 1).repeat(groupSize, 1);

    // [B, K, n, d] · [B, K, d, m] -> [B, K, n, m]
    private static Tensor Product(Tensor left, Tensor right) =>
        left.flatten(0, 1).bmm(right.flatten(0, 1)).unflatten(0, left.shape[0], left.shape[1]);

    private static Tensor Softmax(Tensor query, Tensor key, Tensor hidden, HeadLayout heads)
    {
        using var scope = NewDisposeScope();
        var scores = PlainKernels.Widen(Product(query, key.transpose(-1, -2))).Multiply(Scale(heads));
        scores = scores.MaskedFillInPlace(hidden, double.NegativeInfinity);
        return functional.softmax(scores, -1).to_type(query.dtype).MoveToOuterDisposeScope();
    }
}
