using GlmTune.Kernels.Definitions;
using GlmTune.Model.Adapters;
using GlmTune.Model.Layers;
using static TorchSharp.torch;

namespace GlmTune.Model;

/// <summary>Token ids in, logits out: all that generation and evaluation ask for.</summary>
public interface ICausalLm
{
    /// <summary>The architecture.</summary>
    ModelConfig Config { get; }

    /// <summary>Where it computes.</summary>
    Device Device { get; }

    /// <summary>Virtual tokens that an attached prefix puts into the first positions of every cache slot; 0 without
    /// one.</summary>
    int VirtualTokens { get; }

    /// <summary>The adapters that rows of a pass may have, each its own; none where one is attached for all rows, or
    /// none is there.</summary>
    IReadOnlyList<ServedAdapter> Adapters => [];

    /// <summary>The most virtual tokens that any row can have: room for so many is in every slot of a new
    /// cache.</summary>
    int MaxVirtualTokens => VirtualTokens;

    /// <summary>Virtual tokens in the first positions of the slots of rows with this adapter.</summary>
    int VirtualTokensOf(ServedAdapter? adapter) => adapter?.VirtualTokens ?? VirtualTokens;

    /// <summary>A cache whose slots begin with the attached prefix, if there is one; the caller disposes it.</summary>
    /// <param name="slots">Sequences at a time.</param>
    /// <param name="capacity">Real tokens of a sequence; room for virtual ones is added.</param>
    KvCache NewCache(int slots, int capacity);

    /// <summary>Puts an adapter's prefix, if it has one, where a row with this adapter expects it: before its first
    /// pass in a slot.</summary>
    /// <param name="cache">The cache.</param>
    /// <param name="slot">The row's slot.</param>
    /// <param name="adapter">The row's adapter; null for the base.</param>
    void StartSlot(KvCache cache, int slot, ServedAdapter? adapter) { }

    /// <summary>Logits of new tokens.</summary>
    /// <param name="tokenIds">New tokens of all sequences, back to back, [N].</param>
    /// <param name="sequences">Which tokens belong to which sequence; disposed by the call.</param>
    /// <param name="cache">Where earlier tokens are, and these go; null: the tokens stand alone. Disposed by the
    /// call.</param>
    /// <param name="lastOnly">Only of each sequence's last token.</param>
    /// <param name="adapters">The adapter of each sequence, null for the base; null: the base for all.</param>
    /// <returns>[N, V], or [sequences, V]; in the caller's dispose scope.</returns>
    /// <exception cref="InvalidOperationException">An adapter was unloaded, or has a prefix and there is no cache to
    /// hold it.</exception>
    Tensor Logits(
        int[] tokenIds,
        SequenceLayout sequences,
        CacheStep? cache = null,
        bool lastOnly = false,
        IReadOnlyList<ServedAdapter?>? adapters = null
    );

    /// <summary>Summed loss of supervised tokens, without gradients.</summary>
    /// <param name="tokenIds">[N].</param>
    /// <param name="sequences">Which tokens belong to which sequence; disposed by the call.</param>
    /// <param name="targets">What is predicted from where; stays the caller's.</param>
    /// <returns>Sum of −log p.</returns>
    double Loss(int[] tokenIds, SequenceLayout sequences, SupervisedTargets targets);

    /// <summary>Bytes of cached keys and values that one token takes in one slot.</summary>
    long CachedTokenBytes
    {
        get
        {
            using var probe = NewCache(1, 1);
            return 2L * Config.LayerCount * probe.Keys(0).stride(1) * probe.Keys(0).element_size();
        }
    }

    /// <summary>A faster way for passes of one new token a sequence; null: there is none here, <see cref="Logits"/> is
    /// the way.</summary>
    /// <param name="cache">Of this model; stays the caller's and outlives the decoder.</param>
    /// <param name="vocabularySize">One past the highest id that may be produced.</param>
    IDecoder? NewDecoder(KvCache cache, int vocabularySize) => null;
}
