using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace GlmTune.Kernels.Definitions;

/// <summary>The reference implementation: every layer function from libtorch's plain operators, on any device and in
/// any floating-point type.</summary>
/// <param name="reason">Why no faster implementation is used, where one might be expected.</param>
internal class PlainKernels(string? reason = null) : LayerKernels
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
        CachedBlocks cache,
        Tensor slots,
        Tensor positions
    )
    {
        using var scope = NewDisposeScope();
        Rotate(fused, cosine, sine, heads);
        var rows = RowsOf(cache, slots, positions);
        var (key, value) = (
            fused.narrow(1, heads.QueryWidth, heads.KeyValueWidth),
            fused.narrow(1, heads.QueryWidth + heads.KeyValueWidth, heads.KeyValueWidth)
        );
        cache.Keys.view(-1, heads.KeyValueWidth).index_copy_(0, rows, key);
        cache.Values.view(-1, heads.KeyValueWidth).index_copy_(0, rows, value);
    }

    /// <summary>Rows of tokens in a cache flattened to [blocks · 16, K·D].</summary>
    /// <param name="cache">The cache.</param>
    /// <param name="slots">Slot of each token, int64 [N].</param>
    /// <param name="positions">Position of each token in its slot, int64 [N].</param>
    /// <returns>int64 [N].</returns>
    public static Tensor RowsOf(CachedBlocks cache, Tensor slots, Tensor positions)
    {
        using var scope = NewDisposeScope();
        var inBlock = positions.Remainder(CachedBlocks.Tokens);
        var index = (positions - inBlock).Divide(CachedBlocks.Tokens).to_type(ScalarType.Int64);
        return cache
            .Tables.view(-1)
            .index_select(0, slots.Multiply(cache.Tables.shape[1]).Add(index))
            .to_type(ScalarType.Int64)
            .Multiply(CachedBlocks.Tokens)
            .Add(inBlock)
            .MoveToOuterDisposeScope();
    }

    /// <inheritdoc/>
    public override Tensor Attention(
        Tensor fused,
        HeadLayout heads,
        SequenceLayout sequences,
        Tensor? prefix,
        Tape? tape
    ) => PlainAttention.Forward(fused, heads, sequences, prefix, tape);

    /// <inheritdoc/>
    public override Tensor AttentionBackward(
        Tensor gradient,
        HeadLayout heads,
        SequenceLayout sequences,
        Tensor? prefixGradient,
        Tape tape
    ) => PlainAttention.Backward(gradient, heads, sequences, prefixGradient, tape);

    /// <inheritdoc/>
    public override Tensor CachedAttention(
        Tensor fused,
        HeadLayout heads,
        CachedBlocks cache,
        CachedSequences sequences
    ) => PlainAttention.Cached(fused, heads, cache, sequences);

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
        if (target.dtype is ScalarType.Float32 or ScalarType.Float64)
        {
            target.IndexAddInPlace(0, ids, gradient.to_type(target.dtype));
            return;
        }

        // Each row is summed in full before it is rounded, once.
        var sum = zeros(target.shape, ScalarType.Float32, target.device);
        target.AddInPlace(sum.IndexAddInPlace(0, ids, Widen(gradient)));
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

    /// <inheritdoc/>
    public override Tensor Sample(Tensor logits, SamplingTable table, int count, Tensor drawn, Tensor ids) =>
        RowSampling.Sample(logits, table, count, drawn, ids);

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

    /// <summary>In the type in which functions compute: float32, or float64 for float64.</summary>
    internal static Tensor Widen(Tensor x) => x.dtype == ScalarType.Float64 ? x : x.to_type(ScalarType.Float32);
}
