using GlmTune.Kernels.Definitions;
using static TorchSharp.torch;

namespace GlmTune.Model.Layers;

/// <summary>Lets attention see all tokens when a pass contains only some of them: exchanges tokens for heads, and
/// back.</summary>
/// <remarks>A pass over N tokens is divided into equal runs of n tokens, and the heads into equal shares. Outside
/// attention every layer works on its run; inside, on all tokens of its share of heads, here h query and k key-value
/// heads with D features. Returned tensors belong to the caller's dispose scope. Source: Jacobs et al., DeepSpeed
/// Ulysses, arXiv:2309.14509, section 3.1.</remarks>
internal abstract class AttentionExchange
{
    /// <summary>The heads of this share.</summary>
    public abstract HeadLayout Heads { get; }

    /// <summary>The sequences of all N tokens.</summary>
    public abstract SequenceLayout Sequences { get; }

    /// <summary>From rotated rows of this run with all heads, [n, (H + 2K)·D], to rows of all tokens with this share of
    /// heads, [N, (h + 2k)·D].</summary>
    public abstract Tensor ToHeads(Tensor fused);

    /// <summary>From attention outputs of this share of heads, [N, h·D], to those of this run with all heads, [n,
    /// H·D].</summary>
    public abstract Tensor ToTokens(Tensor attended);

    /// <summary>Gradient of attention outputs, moved like the queries in <see cref="ToHeads"/>: [n, H·D] to [N,
    /// h·D].</summary>
    public abstract Tensor GradientToHeads(Tensor gradient);

    /// <summary>Gradient of fused rows [N, (h + 2k)·D] to [n, (H + 2K)·D]; where shares have a key-value head in
    /// common, its gradients are summed.</summary>
    public abstract Tensor GradientToTokens(Tensor gradient);

    /// <summary>The part of a prefix, or of its gradient, for this share of heads: [2, P, K, D] to a view [2, P, k,
    /// D].</summary>
    public abstract Tensor OfPrefix(Tensor prefix);
}
