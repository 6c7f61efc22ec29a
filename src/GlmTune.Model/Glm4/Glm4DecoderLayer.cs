using GlmTune.Kernels;
using GlmTune.Kernels.Definitions;
using GlmTune.Model.Layers;
using static TorchSharp.torch;

namespace GlmTune.Model.Glm4;

/// <summary>A decoder layer: h = x + attention(norm(x)); y = h + feedForward(norm(h)). With output norms, the output of
/// either block is normalised before it is added.</summary>
internal sealed class Glm4DecoderLayer : DecoderLayer
{
    private readonly double epsilon;

    /// <param name="number">Index of the layer, from 0.</param>
    /// <param name="inputNorm">[C].</param>
    /// <param name="attention">The attention block.</param>
    /// <param name="postAttentionNorm">[C].</param>
    /// <param name="feedForward">The feed-forward block.</param>
    /// <param name="epsilon">Added to the mean square in all norms.</param>
    /// <param name="outputNorms">Weights of the norms of attention's and of the feed-forward block's output, each [C];
    /// null: the architecture has none.</param>
    public Glm4DecoderLayer(
        int number,
        Parameter inputNorm,
        Attention attention,
        Parameter postAttentionNorm,
        FeedForward feedForward,
        double epsilon,
        (Parameter Attention, Parameter FeedForward)? outputNorms = null
    )
        : base(number, attention, feedForward)
    {
        (InputNorm, PostAttentionNorm, this.epsilon) = (inputNorm, postAttentionNorm, epsilon);
        (AttentionOutputNorm, FeedForwardOutputNorm) = (outputNorms?.Attention, outputNorms?.FeedForward);
    }

    /// <summary>Weight of the norm before attention [C].</summary>
    public Parameter InputNorm { get; }

    /// <summary>Weight of the norm before the feed-forward block [C].</summary>
    public Parameter PostAttentionNorm { get; }

    /// <summary>Weight of the norm of attention's output [C]; null: the architecture has none.</summary>
    public Parameter? AttentionOutputNorm { get; }

    /// <summary>Weight of the norm of the feed-forward block's output [C]; null: the architecture has none.</summary>
    public Parameter? FeedForwardOutputNorm { get; }

    /// <inheritdoc/>
    public override IEnumerable<Parameter> Parameters =>
        AttentionOutputNorm is null || FeedForwardOutputNorm is null
            ? [InputNorm, .. Attention.Parameters, PostAttentionNorm, .. FeedForward.Parameters]
            :
            [
                InputNorm,
                .. Attention.Parameters,
                AttentionOutputNorm,
                PostAttentionNorm,
                .. FeedForward.Parameters,
                FeedForwardOutputNorm,
            ];

    /// <inheritdoc/>
    public override Tensor Forward(Tensor x, LayerContext context, Tape? tape)
    {
        using var scope = NewDisposeScope();
        var (residual, middle) = Attend(x, context, tape);
        if (FeedForwardOutputNorm is null)
        {
            return FeedForward.Forward(middle, residual, context, tape).MoveToOuterDisposeScope();
        }

        var given = FeedForward.Forward(middle, residual: null, context, tape);
        return NormaliseOutput(given, FeedForwardOutputNorm, context, tape)
            .AddInPlace(residual)
            .MoveToOuterDisposeScope();
    }

    /// <inheritdoc/>
    public override void Recompute(Tensor x, LayerContext context, Tape tape)
    {
        using var scope = NewDisposeScope();
        var (_, middle) = Attend(x, context, tape);
        if (FeedForwardOutputNorm is null)
        {
            FeedForward.Recompute(middle, context, tape);
            return;
        }

        NormaliseOutput(FeedForward.RecomputeWithOutput(middle, context, tape), FeedForwardOutputNorm, context, tape);
    }

    /// <inheritdoc/>
    public override (Tensor X, Tensor Delta) Decode(
        Tensor x,
        Tensor? delta,
        LayerContext context,
        LastRows? rows = null
    )
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
        x = rows is null ? x : x.index_select(0, rows.Index);
        if (AttentionOutputNorm is not null)
        {
            attended = NormaliseOutput(attended, AttentionOutputNorm, context, tape: null);
        }

        var (middle, middleNormalised, _) = kernels.AddRmsNorm(x, attended, PostAttentionNorm.Value, epsilon);
        var given = FeedForward.Decode(middleNormalised, context);
        if (FeedForwardOutputNorm is not null)
        {
            given = NormaliseOutput(given, FeedForwardOutputNorm, context, tape: null);
        }

        return (middle.MoveToOuterDisposeScope(), given.MoveToOuterDisposeScope());
    }

    /// <inheritdoc/>
    public override Tensor? Backward(Tensor gradient, LayerContext context, Tape tape, bool inputGradient = true)
    {
        using var scope = NewDisposeScope();
        var kernels = context.Kernels;
        var given = FeedForwardOutputNorm is null
            ? gradient
            : NormaliseOutputBackward(gradient, FeedForwardOutputNorm, context, tape);
        var inner = FeedForward.Backward(given, context, tape);
        using var middleInverse = tape.TakeTensor();
        using var residual = tape.TakeTensor();
        Tensor stream;
        Fp8Rows? quantized = null;
        if (Attention.Output.Weight.IsFp8 && !PostAttentionNorm.Trainable && AttentionOutputNorm is null)
        {
            (stream, quantized) = kernels.RmsNormBackwardFp8(
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

        // Attention's backward pass needs much memory of its own.
        inner.Dispose();
        middleInverse.Dispose();
        residual.Dispose();
        var attended = AttentionOutputNorm is null
            ? stream
            : NormaliseOutputBackward(stream, AttentionOutputNorm, context, tape);
        var needsNorm = inputGradient || InputNorm.Trainable;
        var normalised = Attention.Backward(new LinearInput(attended, quantized), context, tape, needsNorm);
        using var inverse = tape.TakeTensor();
        using var x = tape.TakeTensor();
        return needsNorm
            ? kernels
                .RmsNormBackward(normalised!, x, InputNorm.Value, inverse, stream, GradientOf(InputNorm))
                .MoveToOuterDisposeScope()
            : null;
    }

    /// <inheritdoc/>
    public override long KeptPerToken(bool selective)
    {
        Linear[] recomputable = [Attention.QueryKeyValue, FeedForward.GateUp, FeedForward.Down];
        var streams = AttentionOutputNorm is null ? 2 : 4; // with output norms, their inputs are kept too
        return (streams * InputNorm.Count)
            + Attention.QueryKeyValue.OutputWidth
            + Attention.Output.InputWidth
            + FeedForward.GateUp.OutputWidth
            + (selective ? 0 : recomputable.Where(linear => linear.NeedsInput).Sum(linear => linear.InputWidth));
    }

    // The residual stream after attention, and the input of the feed-forward block.
    private (Tensor Residual, LinearInput Middle) Attend(Tensor x, LayerContext context, Tape? tape)
    {
        var kernels = context.Kernels;
        var (normalised, inverse) = Normalise(x, context);
        tape?.Save(x);
        tape?.Save(inverse);
        var attended = Attention.Forward(normalised, context, tape);
        if (AttentionOutputNorm is not null)
        {
            attended = NormaliseOutput(attended, AttentionOutputNorm, context, tape);
        }

        var (residual, middle, middleInverse) = AddAndNormalise(x, attended, kernels);
        tape?.Save(residual);
        tape?.Save(middleInverse);
        return (residual, middle);
    }

    private Tensor NormaliseOutput(Tensor given, Parameter norm, LayerContext context, Tape? tape)
    {
        var (output, inverse) = context.Kernels.RmsNorm(given, norm.Value, epsilon);
        tape?.Save(given);
        tape?.Save(inverse);
        return output;
    }

    private static Tensor NormaliseOutputBackward(Tensor gradient, Parameter norm, LayerContext context, Tape tape)
    {
        using var inverse = tape.TakeTensor();
        using var given = tape.TakeTensor();
        return context.Kernels.RmsNormBackward(gradient, given, norm.Value, inverse, null, GradientOf(norm));
    }

    private (LinearInput Output, Tensor InverseRms) Normalise(Tensor x, LayerContext context)
    {
        var (kernels, next) = (context.Kernels, Attention.QueryKeyValue);
        if (!next.Weight.IsFp8)
        {
            var (output, inverse) = kernels.RmsNorm(x, InputNorm.Value, epsilon);
            return (new LinearInput(output, null, NormAgain(x, InputNorm, kernels)), inverse);
        }

        var (values, quantized, inverseRms) = kernels.RmsNormFp8(x, InputNorm.Value, epsilon, next.NeedsInput);
        return (new LinearInput(values, quantized, NormAgain(x, InputNorm, kernels)), inverseRms);
    }

    private (Tensor Residual, LinearInput Output, Tensor InverseRms) AddAndNormalise(
        Tensor x,
        Tensor attended,
        LayerKernels kernels
    )
    {
        var next = FeedForward.GateUp;
        if (!next.Weight.IsFp8)
        {
            var (sum, output, inverse) = kernels.AddRmsNorm(x, attended, PostAttentionNorm.Value, epsilon);
            return (sum, new LinearInput(output, null, NormAgain(sum, PostAttentionNorm, kernels)), inverse);
        }

        var (residual, values, quantized, inverseRms) = kernels.AddRmsNormFp8(
            x,
            attended,
            PostAttentionNorm.Value,
            epsilon,
            next.NeedsInput
        );
        return (
            residual,
            new LinearInput(values, quantized, NormAgain(residual, PostAttentionNorm, kernels)),
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
