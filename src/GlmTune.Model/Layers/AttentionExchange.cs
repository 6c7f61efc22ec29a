using GlmTune.Kernels.Definitions;
using static TorchSharp.torch;

namespace GlmTune.Model.Layers;

/// <summary>How attention sees all tokens when a pass holds only some of them: tokens are traded for heads, and
/// back.</summary>
/// <remarks>
/// A pass over N tokens is cut into equal runs of n tokens, and the heads into equal shares. Outside attention every
/// layer works on its run; inside, on all tokens of its share of heads, here h query and k key-value heads of D
/// features. Returned tensors are the caller's dispose scope's. Source: Jacobs et al., DeepSpeed Ulysses,
/// arXiv:2309.14509, section 3.1. </remarks>
public abstract class AttentionExchange
{
    /// <summary>This share's heads.</summary>
    public abstract HeadLayout Heads { get; }

    /// <summary>The sequences of all N tokens.</summary>
    public abstract SequenceLayout Sequences { get; }

    /// <summary>Rotated rows of this run with all heads [n, (H + 2K)·D] to rows of all tokens with this share of heads
    /// [N, (h + 2k)·D].</summary>
    public abstract Tensor ToHeads(Tensor fused);

    /// <summary>Attended values of this share of heads [N, h·D] to those of this run with all heads [n, H·D].</summary>
    public abstract Tensor ToTokens(Tensor attended);

    /// <summary>Gradient of attended values, as <see cref="ToHeads"/> moves queries: [n, H·D] to [N, h·D].</summary>
    public abstract Tensor GradientToHeads(Tensor gradient);

    /// <summary>Gradient of fused rows [N, (h + 2k)·D] to [n, (H + 2K)·D]; where shares have a key-value head in
    /// common, its gradients are summed.</summary>
    public abstract Tensor GradientToTokens(Tensor gradient);

    /// <summary>The part of a prefix, or of its gradient, that this share of heads sees: [2, P, K, D] to a view [2, P,
    /// k, D].</summary>
    public abstract Tensor OfPrefix(Tensor prefix);
}
