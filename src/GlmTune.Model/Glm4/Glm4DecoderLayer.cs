using GlmTune.Kernels;
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
        int number, Parameter inputNorm, Attention attention, Parameter postAttentionNorm, FeedForward feedForward, double epsilon)
    {
        (Number, InputNorm, Attention, PostAttentionNorm, FeedForward) = (number, inputNorm, attention, postAttentionNorm, feedForward);
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
    public override IEnumerable<Parameter> Parameters
        => [InputNorm, .. Attention.Parameters, PostAttentionNorm, .. FeedForward.Parameters];

    /// <summary>Hidden states after this layer [N, C].</summary>
    /// <param name="x">Hidden states [N, C].</param>
    /// <param name="context">The pass.</param>
    /// <param name="tape">Gets what the backward pass needs; null: nothing is kept.</param>
    public Tensor Forward(Tensor x, LayerContext context, Tape? tape)
    {
        using var scope = NewDisposeScope();
        var kernels = context.Kernels;
        var (normalised, inverse) = kernels.RmsNorm(x, InputNorm.Value, epsilon);
        tape?.Save(x);
        tape?.Save(inverse);
        var attended = Attention.Forward(normalised, context, tape);
        var (residual, middle, middleInverse) = kernels.AddRmsNorm(x, attended, PostAttentionNorm.Value, epsilon);
        tape?.Save(residual);
        tape?.Save(middleInverse);
        return FeedForward.Forward(middle, residual, context, tape).MoveToOuterDisposeScope();
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
        var stream = kernels.RmsNormBackward(inner, residual, PostAttentionNorm.Value, middleInverse, gradient, GradientOf(PostAttentionNorm));
        var needsNorm = inputGradient || InputNorm.Trainable;
        var normalised = Attention.Backward(stream, context, tape, needsNorm);
        using var inverse = tape.TakeTensor();
        using var x = tape.TakeTensor();
        return needsNorm
            ? kernels.RmsNormBackward(normalised!, x, InputNorm.Value, inverse, stream, GradientOf(InputNorm)).MoveToOuterDisposeScope()
            : null;
    }

    private static Tensor? GradientOf(Parameter norm) => norm.Trainable ? norm.WideGradient() : null;
}
