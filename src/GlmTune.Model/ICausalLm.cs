using GlmTune.Kernels;
using GlmTune.Model.Glm4;
using GlmTune.Model.Layers;
using static TorchSharp.torch;

namespace GlmTune.Model;

/// <summary>Token ids in, logits out: all that generation and evaluation ask for.</summary>
public interface ICausalLm
{
    /// <summary>The architecture.</summary>
    Glm4Config Config { get; }

    /// <summary>Where it computes.</summary>
    Device Device { get; }

    /// <summary>Virtual tokens that a prefix adapter puts into the first places of every cache slot; 0 without one.</summary>
    int VirtualTokens { get; }

    /// <summary>A cache whose slots begin with the prefix, if there is one; the caller disposes it.</summary>
    /// <param name="slots">Sequences at a time.</param>
    /// <param name="capacity">Real tokens of a sequence; room for virtual ones is added.</param>
    KvCache NewCache(int slots, int capacity);

    /// <summary>Logits of new tokens.</summary>
    /// <param name="tokenIds">New tokens of all sequences, back to back, [N].</param>
    /// <param name="sequences">Which tokens belong to which sequence; disposed by the call.</param>
    /// <param name="cache">Where earlier tokens are, and these go; null: the tokens stand alone. Disposed by the call.</param>
    /// <param name="lastOnly">Only of each sequence's last token.</param>
    /// <returns>[N, V], or [sequences, V]; in the caller's dispose scope.</returns>
    Tensor Logits(int[] tokenIds, SequenceLayout sequences, CacheStep? cache = null, bool lastOnly = false);

    /// <summary>Summed loss of supervised tokens, without gradients.</summary>
    /// <param name="tokenIds">[N].</param>
    /// <param name="sequences">Which tokens belong to which sequence; disposed by the call.</param>
    /// <param name="targets">What is predicted from where; stays the caller's.</param>
    /// <returns>Sum of −log p.</returns>
    double Loss(int[] tokenIds, SequenceLayout sequences, SupervisedTargets targets);
}
