using static TorchSharp.torch;

namespace GlmTune.Model.Layers;

/// <summary>Token ids to hidden states: rows of a table.</summary>
public sealed class TokenEmbedding : Layer
{
    /// <param name="weight">[V, C].</param>
    public TokenEmbedding(Parameter weight) => Weight = weight;

    /// <summary>The table [V, C].</summary>
    public Parameter Weight { get; }

    /// <inheritdoc/>
    public override string Name => "embedding";

    /// <inheritdoc/>
    public override IEnumerable<Parameter> Parameters => [Weight];

    /// <summary>Hidden states [N, C] of token ids, int64 [N].</summary>
    public Tensor Forward(Tensor tokenIds) => Weight.Value.index_select(0, tokenIds);

    /// <summary>Collects the table's gradient, when it is trained.</summary>
    /// <param name="gradient">Of the hidden states, [N, C].</param>
    /// <param name="tokenIds">int64 [N].</param>
    public void Backward(Tensor gradient, Tensor tokenIds)
    {
        if (Weight.Trainable)
        {
            using var scope = NewDisposeScope();
            var wide = Weight.WideGradient();
            wide.index_add_(0, tokenIds, gradient.to_type(wide.dtype), 1);
        }
    }
}
