using GlmTune.Kernels;
using GlmTune.Kernels.Definitions;
using static TorchSharp.torch;

namespace GlmTune.Model.Layers;

/// <summary>Final norm and projection to the vocabulary: logits, or the summed loss and its gradient, chunk by
/// chunk.</summary>
/// <remarks>The loss never needs logits of more than <see cref="ChunkRows"/> tokens at a time, nor of tokens without a
/// target. Source of the idea: Wijmans et al., Cut Your Losses, arXiv:2411.09009, section 3 (ours keeps plain matrix
/// products).</remarks>
internal sealed class OutputHead : Layer
{
    private readonly double epsilon;
    private readonly TokenEmbedding? tied;

    /// <param name="norm">[C].</param>
    /// <param name="projection">Weight [V, C], no bias.</param>
    /// <param name="epsilon">Added to the mean square in the norm.</param>
    /// <param name="tied">The embedding whose table <paramref name="projection"/> uses, and which it stays the
    /// parameter of; null: the projection has a weight of its own.</param>
    public OutputHead(Parameter norm, Linear projection, double epsilon, TokenEmbedding? tied = null) =>
        (Norm, Projection, this.epsilon, this.tied) = (norm, projection, epsilon, tied);

    /// <summary>Number of tokens whose logits exist at a time.</summary>
    public int ChunkRows { get; set; } = ManyChunkRows;

    /// <summary>The usual number of tokens whose logits exist at a time.</summary>
    public const int ManyChunkRows = 2048;

    /// <summary>A smaller number that still uses the matrix units well, if memory matters more: an eighth of the
    /// logits, slightly slower.</summary>
    public const int FewChunkRows = 256;

    /// <summary>Weight of the final norm [C].</summary>
    public Parameter Norm { get; }

    /// <summary>Projection to the vocabulary, [V, C].</summary>
    public Linear Projection { get; }

    /// <inheritdoc/>
    public override string Name => "output head";

    /// <inheritdoc/>
    public override IEnumerable<Parameter> Parameters =>
        [Norm, .. Projection.Parameters.Where(parameter => parameter != tied?.Weight)];

    /// <inheritdoc/>
    public override IReadOnlyList<Layer> Uses => tied is null ? [this] : [this, tied];

    /// <summary>The hidden states after the final norm.</summary>
    /// <param name="hidden">[N, C].</param>
    /// <param name="kernels">Layer functions.</param>
    /// <returns>[N, C].</returns>
    public Tensor Normalise(Tensor hidden, LayerKernels kernels)
    {
        var (output, inverse) = kernels.RmsNorm(hidden, Norm.Value, epsilon);
        inverse.Dispose();
        return output;
    }

    /// <summary>Logits [N, V] of hidden states [N, C], in the model's type.</summary>
    public Tensor Logits(Tensor hidden, LayerContext context)
    {
        using var scope = NewDisposeScope();
        return Projection.Forward(Normalise(hidden, context.Kernels), context, tape: null).MoveToOuterDisposeScope();
    }

    /// <summary>Logits in a pass over few rows that is not differentiated.</summary>
    /// <param name="hidden">The residual stream [n, C].</param>
    /// <param name="delta">Output of the last decoder layer that is added to it, [n, C].</param>
    /// <param name="context">The context of the pass.</param>
    /// <returns>[n, V].</returns>
    public Tensor Decode(Tensor hidden, Tensor delta, LayerContext context)
    {
        using var scope = NewDisposeScope();
        var (_, normalised, _) = context.Kernels.AddRmsNorm(hidden, delta, Norm.Value, epsilon);
        return Projection.Decode(normalised, context).MoveToOuterDisposeScope();
    }

    /// <summary>The summed cross-entropy, and optionally the gradients it causes.</summary>
    /// <param name="hidden">Output of the last decoder layer [N, C].</param>
    /// <param name="targets">Which token is predicted from which position; at least one.</param>
    /// <param name="context">The context of the pass.</param>
    /// <param name="gradientScale">Factor of the loss's gradient: one over the step's supervised tokens. Null: only the
    /// loss is computed.</param>
    /// <param name="inputGradient">Whether the gradient of the hidden states is also needed.</param>
    /// <returns>The sum of −log p over targets (float32 or wider scalar on the device, not scaled), and d(scaled
    /// loss)/d hidden [N, C] or null.</returns>
    public (Tensor Loss, Tensor? Gradient) Loss(
        Tensor hidden,
        SupervisedTargets targets,
        LayerContext context,
        LossScale? gradientScale,
        bool inputGradient = true
    )
    {
        using var scope = NewDisposeScope();
        var everyRow = targets.Count == hidden.shape[0];
        var chosen = everyRow ? hidden : hidden.index_select(0, targets.Rows);
        var (normalised, inverse) = context.Kernels.RmsNorm(chosen, Norm.Value, epsilon);
        var wanted = gradientScale is not null && (inputGradient || Norm.Trainable);
        var normGradient = wanted ? empty_like(normalised) : null;
        Tensor? loss = null;
        for (long start = 0; start < targets.Count; start += ChunkRows)
        {
            using var chunk = NewDisposeScope();
            var rows = Math.Min(ChunkRows, targets.Count - start);
            using var tape = new Tape();
            context.HeadPart = (int)(start / ChunkRows);
            var logits = Projection.Forward(
                normalised.narrow(0, start, rows),
                context,
                gradientScale is null ? null : tape
            );
            var part = context.Kernels.CrossEntropy(
                logits,
                targets.Targets.narrow(0, start, rows),
                gradientScale ?? 1.0
            );
            loss = loss is null ? part.MoveToOuterDisposeScope() : loss.AddInPlace(part);
            if (gradientScale is not null)
            {
                var gradient = Projection.Backward(logits, context, tape, wanted);
                normGradient?.narrow(0, start, rows).copy_(gradient!);
            }
        }

        context.HeadPart = 0;
        Tensor? result = null;
        if (wanted)
        {
            result = context.Kernels.RmsNormBackward(
                normGradient!,
                chosen,
                Norm.Value,
                inverse,
                null,
                Norm.Trainable ? Norm.WideGradient() : null
            );
            result = everyRow ? result : zeros_like(hidden).index_copy_(0, targets.Rows, result);
        }

        return (loss!.MoveToOuterDisposeScope(), result?.MoveToOuterDisposeScope());
    }
}
