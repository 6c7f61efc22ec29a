using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace GlmTune.Kernels.Definitions;

/// <summary>The reference implementation: every layer function from libtorch's plain operators, on any device and in
/// any floating-point type.</summary>
/// <param name="reason">Why no faster implementation is used, where one might be expected.</param>
public sealed class PlainKernels(string? reason = null) : LayerKernels
{
    /// <inheritdoc/>
    public override string Description => reason is null ? "plain operators" : $"plain operators: {reason}";

    /// <inheritdoc/>
    public override (Tensor Output, Tensor InverseRms) RmsNorm(Tensor x, Tensor weight, double epsilon)
    {
        using var scope = NewDisposeScope();
        var wide = Widen(x);
        var inverse = wide.Square().mean([-1], keepdim: true).AddInPlace(epsilon).rsqrt_();
        var output = (wide * inverse * Widen(weight)).to_type(x.dtype);
        return (output.MoveToOuterDisposeScope(), inverse.MoveToOuterDisposeScope());
    }

    /// <inheritdoc/>
    public override (Tensor Sum, Tensor Output, Tensor InverseRms) AddRmsNorm(
        Tensor x,
        Tensor delta,
        Tensor weight,
        double epsilon
    )
    {
        var sum = x.Add(delta);
        var (output, inverse) = RmsNorm(sum, weight, epsilon);
        return (sum, output, inverse);
    }

    /// <inheritdoc/>
    public override Tensor RmsNormBackward(
        Tensor gradient,
        Tensor x,
        Tensor weight,
        Tensor inverseRms,
        Tensor? residualGradient,
        Tensor? weightGradient
    )
    {
        using var scope = NewDisposeScope();
        var normalised = Widen(x) * inverseRms;
        var wide = Widen(gradient);
        weightGradient?.AddInPlace((wide * normalised).sum([0L]));
        var weighted = wide * Widen(weight);
        var along = (weighted * normalised).mean([-1], keepdim: true);
        var result = (weighted - (normalised * along)) * inverseRms;
        if (residualGradient is not null)
        {
            result = result.Add(residualGradient);
        }

        return result.to_type(x.dtype).MoveToOuterDisposeScope();
    }

    /// <inheritdoc/>
    public override void Rotate(Tensor fused, Tensor cosine, Tensor sine, HeadLayout heads, bool inverse = false)
    {
        using var scope = NewDisposeScope();
        var rotatedHeads = heads.QueryHeads + heads.KeyValueHeads;
        var part = fused
            .narrow(1, 0, rotatedHeads * heads.HeadDim)
            .view(-1, rotatedHeads, heads.HeadDim)
            .narrow(2, 0, heads.RotaryDim)
            .unflatten(2, heads.RotaryDim / 2, 2);
        var wide = Widen(part);
        var (even, odd) = (wide.select(3, 0), wide.select(3, 1));
        var cos = cosine.to_type(wide.dtype).unsqueeze(1);
        var sin = sine.to_type(wide.dtype).unsqueeze(1);
        if (inverse)
        {
            sin = -sin;
        }

        part.copy_(stack([(even * cos) - (odd * sin), (odd * cos).Add(even * sin)], -1));
    }

    /// <inheritdoc/>
    public override void RotateAndCache(
        Tensor fused,
        Tensor cosine,
        Tensor sine,
        HeadLayout heads,
        Tensor keys,
        Tensor values,
        Tensor slots,
        Tensor positions
    )
    {
        using var scope = NewDisposeScope();
        Rotate(fused, cosine, sine, heads);
        var rows = slots.Multiply(keys.shape[1]).Add(positions);
        var (key, value) = (
            fused.narrow(1, heads.QueryWidth, heads.KeyValueWidth),
            fused.narrow(1, heads.QueryWidth + heads.KeyValueWidth, heads.KeyValueWidth)
        );
        keys.view(-1, heads.KeyValueWidth).index_copy_(0, rows, key);
        values.view(-1, heads.KeyValueWidth).index_copy_(0, rows, value);
    }

    /// <inheritdoc/>
    public override Tensor Attention(
        Tensor fused,
        HeadLayout heads,
        SequenceLayout sequences,
        Tensor? prefix,
        Tape? tape
    )
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

    /// <inheritdoc/>
    public override Tensor AttentionBackward(
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
        var wide = Widen(probabilities);
        var scoreGradient = Widen(Product(outer, value.transpose(-1, -2)));
        scoreGradient = ((scoreGradient - (scoreGradient * wide).sum(-1, keepdim: true)) * wide).Multiply(Scale(heads));
        scoreGradient = scoreGradient.to_type(query.dtype);
        var queryGradient = Product(scoreGradient, key);
        var keyGradient = Product(scoreGradient.transpose(-1, -2), query);
        var virtualTokens = key.shape[2] - sequences.Longest;
        if (virtualTokens > 0)
        {
            prefixGradient?.AddInPlace(
                stack([
                    Widen(keyGradient.narrow(2, 0, virtualTokens)).sum([0L]).transpose(0, 1),
                    Widen(valueGradient.narrow(2, 0, virtualTokens)).sum([0L]).transpose(0, 1),
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

    /// <inheritdoc/>
    public override Tensor CachedAttention(
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
        using var scope = NewDisposeScope();
        var query = SplitQueries(ToBlock(fused, sequences).narrow(2, 0, heads.QueryWidth), heads);
        var key = keys.narrow(1, 0, longest).index_select(0, slots).transpose(1, 2);
        var value = values.narrow(1, 0, longest).index_select(0, slots).transpose(1, 2);
        // New token t of a sequence with n new tokens sees the first length − n + t + 1 cached ones.
        var added = tensor(Enumerable.Range(0, sequences.Count).Select(i => (long)sequences.LengthOf(i)).ToArray())
            .to(fused.device);
        var last = (lengths - added).unsqueeze(1).Add(TensorCreation.Range(sequences.Longest, device: fused.device));
        var hidden = TensorCreation.Range(longest, device: fused.device) > last.unsqueeze(2);
        hidden = hidden.unsqueeze(1).unsqueeze(2).expand(-1, 1, heads.GroupSize, -1, -1).flatten(2, 3);
        var probabilities = Softmax(query, key, hidden, heads);
        return FromBlock(MergeHeads(Product(probabilities, value), heads), sequences).MoveToOuterDisposeScope();
    }

    /// <inheritdoc/>
    public override Tensor SwiGlu(Tensor gateUp)
    {
        using var scope = NewDisposeScope();
        var halves = gateUp.chunk(2, -1);
        return (functional.silu(Widen(halves[0])) * halves[1]).to_type(gateUp.dtype).MoveToOuterDisposeScope();
    }

    /// <inheritdoc/>
    public override Tensor SwiGluBackward(Tensor gradient, Tensor gateUp)
    {
        using var scope = NewDisposeScope();
        var halves = gateUp.chunk(2, -1);
        var (gate, up, wide) = (Widen(halves[0]), Widen(halves[1]), Widen(gradient));
        var sigmoid = gate.sigmoid();
        var silu = gate * sigmoid;
        var slope = sigmoid.Add(silu * sigmoid.neg().Add(1));
        return cat([wide * up * slope, wide * silu], -1).to_type(gateUp.dtype).MoveToOuterDisposeScope();
    }

    /// <inheritdoc/>
    public override Tensor Dropout(Tensor x, double probability, MaskSeed seed)
    {
        using var scope = NewDisposeScope();
        var kept = DropoutMask.Kept(x.numel(), probability, seed, x.device).view(x.shape);
        return (x * kept.to_type(x.dtype)).Divide(1 - probability).MoveToOuterDisposeScope();
    }

    /// <inheritdoc/>
    public override Tensor CrossEntropy(Tensor logits, Tensor targets, LossScale scale)
    {
        using var scope = NewDisposeScope();
        if (scale.Stored is not null)
        {
            return PartlyCounted(logits, targets, scale.Stored).MoveToOuterDisposeScope();
        }

        var logProbabilities = functional.log_softmax(Widen(logits), 1);
        var column = targets.unsqueeze(1);
        var loss = -logProbabilities.gather(1, column).sum();
        var gradient = logProbabilities.exp();
        gradient.scatter_add_(1, column, column.FullLike(-1.0, gradient.dtype));
        logits.copy_(gradient.MultiplyInPlace(scale.Value));
        return loss.MoveToOuterDisposeScope();
    }

    /// <inheritdoc/>
    public override void AdamW(
        Tensor master,
        Tensor gradient,
        Tensor firstMoment,
        Tensor secondMoment,
        Tensor gradientScale,
        in AdamWStep settings,
        Tensor? compute = null
    )
    {
        using var scope = NewDisposeScope();
        var scaled = gradient.to_type(master.dtype) * gradientScale;
        firstMoment.MultiplyInPlace(settings.Beta1).AddInPlace(scaled, 1 - settings.Beta1);
        secondMoment.MultiplyInPlace(settings.Beta2).AddProductInPlace(scaled, scaled, 1 - settings.Beta2);
        if (settings.Stored is { } stored)
        {
            var corrected = (secondMoment * stored[2]).sqrt_().AddInPlace(settings.Epsilon);
            master.mul_(stored[0]).sub_(firstMoment / corrected * stored[1]);
            compute?.copy_(master);
            return;
        }

        var correction1 = 1 - Math.Pow(settings.Beta1, settings.Step);
        var correction2 = 1 - Math.Pow(settings.Beta2, settings.Step);
        var denominator = secondMoment.Divide(correction2).sqrt_().AddInPlace(settings.Epsilon);
        master.MultiplyInPlace(1 - (settings.LearningRate * settings.WeightDecay));
        master.AddQuotientInPlace(firstMoment, denominator, -settings.LearningRate / correction1);
        compute?.copy_(master);
    }

    /// <inheritdoc/>
    public override void AddEmbeddingGradient(Tensor gradient, Tensor ids, Tensor target)
    {
        using var scope = NewDisposeScope();
        target.IndexAddInPlace(0, ids, gradient.to_type(target.dtype));
    }

    /// <inheritdoc/>
    public override Tensor Project(Tensor x, Tensor weight, Tensor? bias = null, Tensor? residual = null)
    {
        using var scope = NewDisposeScope();
        var product = functional.linear(x, weight, bias);
        return (residual is null ? product : product.Add(residual)).MoveToOuterDisposeScope();
    }

    /// <inheritdoc/>
    public override Tensor ProjectSwiGlu(Tensor x, Tensor weight)
    {
        using var scope = NewDisposeScope();
        return SwiGlu(functional.linear(x, weight)).MoveToOuterDisposeScope();
    }

    /// <inheritdoc/>
    public override Tensor ArgMax(Tensor logits, int count)
    {
        using var scope = NewDisposeScope();
        var candidates = logits.narrow(1, 0, count);
        var indices = candidates.argmax(1, keepdim: true);
        return cat([indices.to_type(ScalarType.Float64), candidates.gather(1, indices).to_type(ScalarType.Float64)], 1)
            .transpose(0, 1)
            .contiguous()
            .MoveToOuterDisposeScope();
    }

    // Rows with a target below 0 add nothing to the loss and get no gradient.
    private static Tensor PartlyCounted(Tensor logits, Tensor targets, Tensor scale)
    {
        var logProbabilities = functional.log_softmax(Widen(logits), 1);
        var column = targets.ClampMin(0).unsqueeze(1);
        var counts = targets.unsqueeze(1).GreaterOrEqual(0).to_type(logProbabilities.dtype);
        var loss = -(logProbabilities.gather(1, column) * counts).sum();
        var gradient = logProbabilities.exp();
        gradient.scatter_add_(1, column, column.FullLike(-1.0, gradient.dtype));
        logits.copy_(gradient.mul_(scale * counts));
        return loss;
    }

    /// <inheritdoc/>
    public override (Tensor Hidden, Tensor Cosine, Tensor Sine) Embed(
        Tensor ids,
        Tensor positions,
        Tensor table,
        Tensor cosines,
        Tensor sines
    ) => (TokenRows(table, ids), cosines.index_select(0, positions), sines.index_select(0, positions));

    /// <inheritdoc/>
    public override Tensor SelectRows(Tensor table, Tensor index) => table.index_select(0, index);

    private static double Scale(HeadLayout heads) => 1 / Math.Sqrt(heads.HeadDim);

    private static Tensor Widen(Tensor x) => x.dtype == ScalarType.Float64 ? x : x.to_type(ScalarType.Float32);

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
        var scores = Widen(Product(query, key.transpose(-1, -2))).Multiply(Scale(heads));
        scores = scores.MaskedFillInPlace(hidden, double.NegativeInfinity);
        return functional.softmax(scores, -1).to_type(query.dtype).MoveToOuterDisposeScope();
    }
}
