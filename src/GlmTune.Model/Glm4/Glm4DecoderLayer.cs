using GlmTune.Kernels;
using GlmTune.Kernels.Definitions;
using GlmTune.Model.Layers;
using static TorchSharp.torch;

namespace GlmTune.Model.Glm4;

/// <summary>One decoder layer: h = x + attention(norm(x)); y = h + feedForward(norm(h)).</summary>
public sealed class Glm4DecoderLayer : Layer
{
    private readonly double epsilon;

    /// <param name="number">From 0.</param>
    /// <param name="inputNorm">[C].</param>
    /// <param name="attention">The attention block.</param>
    /// <param name="postAttentionNorm">[C].</param>
    /// <param name="feedForward">The feed-forward block.</param>
    /// <param name="epsilon">Of both norms.</param>
    public Glm4DecoderLayer(
        int number,
        Parameter inputNorm,
        Attention attention,
        Parameter postAttentionNorm,
        FeedForward feedForward,
        double epsilon
    )
    {
        (Number, InputNorm, Attention, PostAttentionNorm, FeedForward) = (
            number,
            inputNorm,
            attention,
            postAttentionNorm,
            feedForward
        );
        this.epsilon = epsilon;
    }

    /// <summary>From 0.</summary>
    public int Number { get; }

    /// <inheritdoc/>
    public override string Name => $"layer {Number}";

    /// <summary>Weight of the norm before attention [C].</summary>
    public Parameter InputNorm { get; }

    /// <summary>The attention block.</summary>
    public Attention Attention { get; }

    /// <summary>Weight of the norm before the feed-forward block [C].</summary>
    public Parameter PostAttentionNorm { get; }

    /// <summary>The feed-forward block.</summary>
    public FeedForward FeedForward { get; }

    /// <inheritdoc/>
    public override IEnumerable<Parameter> Parameters =>
        [InputNorm, .. Attention.Parameters, PostAttentionNorm, .. FeedForward.Parameters];

    /// <summary>Its linear layers, in the order of the forward pass.</summary>
    public IReadOnlyList<Linear> Linears =>
        [Attention.QueryKeyValue, Attention.Output, FeedForward.GateUp, FeedForward.Down];

    /// <summary>Hidden states after this layer [N, C].</summary>
    /// <param name="x">Hidden states [N, C].</param>
    /// <param name="context">The pass.</param>
    /// <param name="tape">Gets what the backward pass needs; null: nothing is kept.</param>
    public Tensor Forward(Tensor x, LayerContext context, Tape? tape)
    {
        using var scope = NewDisposeScope();
        var (residual, middle) = Attend(x, context, tape);
        return FeedForward.Forward(middle, residual, context, tape).MoveToOuterDisposeScope();
    }

    /// <summary>Leaves on the tape what <see cref="Forward"/> does, without the result: what a recomputation
    /// needs.</summary>
    /// <param name="x">Hidden states [N, C].</param>
    /// <param name="context">The pass.</param>
    /// <param name="tape">Gets what the backward pass needs.</param>
    public void Record(Tensor x, LayerContext context, Tape tape)
    {
        using var scope = NewDisposeScope();
        var (_, middle) = Attend(x, context, tape);
        FeedForward.Record(middle, context, tape);
    }

    /// <summary>Whether <see cref="Decode"/> can be used.</summary>
    public bool CanDecode =>
        Attention.QueryKeyValue.CanDecode
        && Attention.Output.CanDecode
        && FeedForward.GateUp.CanDecode
        && FeedForward.Down.CanDecode;

    /// <summary>This layer in a pass over a cache, not differentiated.</summary>
    /// <param name="x">The residual stream [n, C].</param>
    /// <param name="delta">What the layer before adds to it, [n, C]; null: nothing. Added here, where the sum and its
    /// norm are one kernel.</param>
    /// <param name="context">The pass, with its cache.</param>
    /// <param name="rows">The tokens that go on from this layer's attention, int64 [m], as in
    /// <see cref="Attention.Decode"/>; null: all.</param>
    /// <returns>The residual stream, and what this layer still adds to it, each [n or m, C].</returns>
    public (Tensor X, Tensor Delta) Decode(Tensor x, Tensor? delta, LayerContext context, Tensor? rows = null)
    {
        using var scope = NewDisposeScope();
        var kernels = context.Kernels;
        Tensor normalised;
        if (delta is null)
        {
            (normalised, _) = kernels.RmsNorm(x, InputNorm.Value, epsilon);
        }
        else
        {
            (x, normalised, _) = kernels.AddRmsNorm(x, delta, InputNorm.Value, epsilon);
        }

        var attended = Attention.Decode(normalised, context, rows);
        x = rows is null ? x : x.index_select(0, rows);
        var (middle, middleNormalised, _) = kernels.AddRmsNorm(x, attended, PostAttentionNorm.Value, epsilon);
        return (
            middle.MoveToOuterDisposeScope(),
            FeedForward.Decode(middleNormalised, context).MoveToOuterDisposeScope()
        );
    }

    /// <summary>Collects parameter gradients; returns that of the hidden states.</summary>
    /// <param name="gradient">Of the result, [N, C].</param>
    /// <param name="context">The pass.</param>
    /// <param name="tape">What the forward pass left.</param>
    /// <param name="inputGradient">Whether the input's gradient is wanted: not below the lowest trained layer.</param>
    /// <returns>[N, C]; null when not wanted.</returns>
    public Tensor? Backward(Tensor gradient, LayerContext context, Tape tape, bool inputGradient = true)
    {
        using var scope = NewDisposeScope();
        var kernels = context.Kernels;
        var inner = FeedForward.Backward(gradient, context, tape);
        using var middleInverse = tape.TakeTensor();
        using var residual = tape.TakeTensor();
        Tensor stream;
        Fp8Rows? rounded = null;
        if (Attention.Output.Weight.Rounded is not null && !PostAttentionNorm.Trainable)
        {
            (stream, rounded) = kernels.RmsNormBackwardFp8(
                inner,
                residual,
                PostAttentionNorm.Value,
                middleInverse,
                gradient
            );
        }
        else
        {
            stream = kernels.RmsNormBackward(
                inner,
                residual,
                PostAttentionNorm.Value,
                middleInverse,
                gradient,
                GradientOf(PostAttentionNorm)
            );
        }

        var needsNorm = inputGradient || InputNorm.Trainable;
        var normalised = Attention.Backward(new LinearInput(stream, rounded), context, tape, needsNorm);
        using var inverse = tape.TakeTensor();
        using var x = tape.TakeTensor();
        return needsNorm
            ? kernels
                .RmsNormBackward(normalised!, x, InputNorm.Value, inverse, stream, GradientOf(InputNorm))
                .MoveToOuterDisposeScope()
            : null;
    }

    // The residual stream after attention, and what the feed-forward block takes in.
    private (Tensor Residual, LinearInput Middle) Attend(Tensor x, LayerContext context, Tape? tape)
    {
        var kernels = context.Kernels;
        var (normalised, inverse) = Normalise(x, context);
        tape?.Save(x);
        tape?.Save(inverse);
        var attended = Attention.Forward(normalised, context, tape);
        var (residual, middle, middleInverse) = AddAndNormalise(x, attended, kernels);
        tape?.Save(residual);
        tape?.Save(middleInverse);
        return (residual, middle);
    }

    private (LinearInput Output, Tensor InverseRms) Normalise(Tensor x, LayerContext context)
    {
        var (kernels, next) = (context.Kernels, Attention.QueryKeyValue);
        if (next.Weight.Rounded is null)
        {
            var (output, inverse) = kernels.RmsNorm(x, InputNorm.Value, epsilon);
            return (new LinearInput(output, null, NormAgain(x, InputNorm, kernels)), inverse);
        }

        var (values, rounded, inverseRms) = kernels.RmsNormFp8(x, InputNorm.Value, epsilon, next.NeedsInput);
        return (new LinearInput(values, rounded, NormAgain(x, InputNorm, kernels)), inverseRms);
    }

    private (Tensor Residual, LinearInput Output, Tensor InverseRms) AddAndNormalise(
        Tensor x,
        Tensor attended,
        LayerKernels kernels
    )
    {
        var next = FeedForward.GateUp;
        if (next.Weight.Rounded is null)
        {
            var (sum, output, inverse) = kernels.AddRmsNorm(x, attended, PostAttentionNorm.Value, epsilon);
            return (sum, new LinearInput(output, null, NormAgain(sum, PostAttentionNorm, kernels)), inverse);
        }

        var (residual, values, rounded, inverseRms) = kernels.AddRmsNormFp8(
            x,
            attended,
            PostAttentionNorm.Value,
            epsilon,
            next.NeedsInput
        );
        return (
            residual,
            new LinearInput(values, rounded, NormAgain(residual, PostAttentionNorm, kernels)),
            inverseRms
        );
    }

    private Recomputation NormAgain(Tensor x, Parameter norm, LayerKernels kernels) =>
        new(
            [x],
            kept =>
            {
                var (output, inverse) = kernels.RmsNorm(kept[0], norm.Value, epsilon);
                inverse.Dispose();
                return output;
            }
        );

    private static Tensor? GradientOf(Parameter norm) => norm.Trainable ? norm.WideGradient() : null;
}
