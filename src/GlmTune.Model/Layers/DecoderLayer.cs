using GlmTune.Kernels.Definitions;
using static TorchSharp.torch;

namespace GlmTune.Model.Layers;

/// <summary>A decoder layer of any family: attention and a feed-forward block on a residual stream, forward, backward
/// and over a cache.</summary>
internal abstract class DecoderLayer : Layer
{
    /// <param name="number">Index of the layer, from 0.</param>
    /// <param name="attention">The attention block.</param>
    /// <param name="feedForward">The feed-forward block.</param>
    protected DecoderLayer(int number, Attention attention, FeedForward feedForward) =>
        (Number, Attention, FeedForward) = (number, attention, feedForward);

    /// <summary>Index of the layer, from 0.</summary>
    public int Number { get; }

    /// <inheritdoc/>
    public override string Name => $"layer {Number}";

    /// <summary>The attention block.</summary>
    public Attention Attention { get; }

    /// <summary>The feed-forward block.</summary>
    public FeedForward FeedForward { get; }

    /// <summary>Its linear layers, in the order of the forward pass.</summary>
    public IReadOnlyList<Linear> Linears =>
        [Attention.QueryKeyValue, Attention.Output, FeedForward.GateUp, FeedForward.Down];

    /// <summary>Hidden states after this layer [N, C].</summary>
    /// <param name="x">Hidden states [N, C].</param>
    /// <param name="context">The context of the pass.</param>
    /// <param name="tape">Receives what the backward pass needs; null: nothing is kept.</param>
    public abstract Tensor Forward(Tensor x, LayerContext context, Tape? tape);

    /// <summary>Fills the tape like <see cref="Forward"/>, without computing the result: what recomputation
    /// needs.</summary>
    /// <param name="x">Hidden states [N, C].</param>
    /// <param name="context">The context of the pass.</param>
    /// <param name="tape">Receives what the backward pass needs.</param>
    public abstract void Recompute(Tensor x, LayerContext context, Tape tape);

    /// <summary>Computes parameter gradients; returns the gradient of the hidden states.</summary>
    /// <param name="gradient">Gradient of the result, [N, C].</param>
    /// <param name="context">The context of the pass.</param>
    /// <param name="tape">What the forward pass saved.</param>
    /// <param name="inputGradient">Whether the input's gradient is needed: not for the lowest trained layer.</param>
    /// <returns>[N, C]; null if not needed.</returns>
    public abstract Tensor? Backward(Tensor gradient, LayerContext context, Tape tape, bool inputGradient = true);

    /// <summary>Whether <see cref="Decode"/> can be used.</summary>
    public virtual bool CanDecode => Linears.All(linear => linear.CanDecode);

    /// <summary>This layer in a pass over a cache, not differentiated.</summary>
    /// <param name="x">The residual stream [n, C].</param>
    /// <param name="delta">What the layer before adds to it, [n, C]; null: nothing. Added here, where the sum and its
    /// norm are one kernel.</param>
    /// <param name="context">The pass, with its cache.</param>
    /// <param name="rows">The tokens that go on from this layer's attention, as in <see cref="Attention.Decode"/>;
    /// null: all.</param>
    /// <returns>The residual stream, and what this layer still adds to it, each [n or m, C].</returns>
    public abstract (Tensor X, Tensor Delta) Decode(
        Tensor x,
        Tensor? delta,
        LayerContext context,
        LastRows? rows = null
    );

    /// <summary>Numbers that the layer keeps of one token for its backward pass.</summary>
    /// <param name="selective">Whether norms and SwiGLU are computed again.</param>
    public abstract long KeptPerToken(bool selective);
}
