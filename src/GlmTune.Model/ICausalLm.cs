using GlmTune.Kernels.Definitions;
using GlmTune.Model.Adapters;
using GlmTune.Model.Layers;
using static TorchSharp.torch;

namespace GlmTune.Model;

/// <summary>A causal language model: token ids in, logits out. All that generation and evaluation need.</summary>
internal interface ICausalLm
{
    /// <summary>The architecture.</summary>
    ModelConfig Config { get; }

    /// <summary>Device that it computes on.</summary>
    Device Device { get; }

    /// <summary>Virtual tokens that an attached prefix puts into the first positions of every cache slot; 0 without
    /// one.</summary>
    int VirtualTokens { get; }

    /// <summary>The adapters served side by side; empty if one is attached for all rows, or there is none.</summary>
    IReadOnlyList<ServedAdapter> Adapters => [];

    /// <summary>Most low-rank adapters that the rows of a pass may use; null: any number.</summary>
    int? MaxAdaptersOfPass => null;

    /// <summary>Maximum number of virtual tokens of any row; every slot of a new cache has room for them.</summary>
    int MaxVirtualTokens => VirtualTokens;

    /// <summary>Virtual tokens in the first positions of the slots of rows with this adapter.</summary>
    int VirtualTokensOf(ServedAdapter? adapter) => adapter?.VirtualTokens ?? VirtualTokens;

    /// <summary>A cache whose slots have no blocks yet; the caller disposes it.</summary>
    /// <param name="blocks">Number of blocks, including block 0, which is not used.</param>
    /// <param name="slots">Number of sequences.</param>
    /// <param name="capacity">Tokens per sequence, including virtual ones.</param>
    KvCache NewCache(int blocks, int slots, int capacity);

    /// <summary>A cache in which each slot has all its blocks for itself, and starts with the attached prefix, if there
    /// is one; the caller disposes it.</summary>
    /// <param name="slots">Number of sequences.</param>
    /// <param name="capacity">Real tokens per sequence; room for virtual ones is added.</param>
    sealed KvCache NewCache(int slots, int capacity)
    {
        var each = CachedBlocks.For(capacity + MaxVirtualTokens);
        var cache = NewCache(1 + (slots * each), slots, each * CachedBlocks.Tokens);
        for (var slot = 0; slot < slots; slot++)
        {
            for (var index = 0; index < each; index++)
            {
                cache.SetBlock(slot, index, 1 + (slot * each) + index);
            }

            WritePrefix(cache, [.. Enumerable.Range(1 + (slot * each), each)], null);
        }

        return cache;
    }

    /// <summary>Writes the prefix of rows with an adapter, if they have one, to the first positions of
    /// blocks.</summary>
    /// <param name="cache">The cache.</param>
    /// <param name="blocks">The blocks, in order; room for <see cref="VirtualTokensOf"/> tokens.</param>
    /// <param name="adapter">The adapter; null for the base model, or the adapter attached to it.</param>
    void WritePrefix(KvCache cache, IReadOnlyList<int> blocks, ServedAdapter? adapter) { }

    /// <summary>Logits of new tokens.</summary>
    /// <param name="tokenIds">New tokens of all sequences, concatenated, [N].</param>
    /// <param name="sequences">Which tokens belong to which sequence; disposed by the call.</param>
    /// <param name="cache">The cache with earlier tokens, to which these are added; null: there are no earlier tokens.
    /// Disposed by the call.</param>
    /// <param name="lastOnly">Whether only the logits of each sequence's last token are needed.</param>
    /// <param name="adapters">Adapter of each sequence, null for the base model; null: the base model for all.</param>
    /// <returns>[N, V], or [sequences, V]; in the caller's dispose scope.</returns>
    /// <exception cref="InvalidOperationException">An adapter was unloaded, or has a prefix but there is no cache to
    /// store it.</exception>
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
    /// <param name="targets">Which token is predicted from which position; remains owned by the caller.</param>
    /// <returns>Sum of −log p.</returns>
    double Loss(int[] tokenIds, SequenceLayout sequences, SupervisedTargets targets);

    /// <summary>Bytes of keys and values per cached token.</summary>
    long CachedTokenBytes
    {
        get
        {
            using var probe = NewCache(1, 1, 1);
            return 2L * Config.LayerCount * probe.Keys(0).stride(1) * probe.Keys(0).element_size();
        }
    }

    /// <summary>A faster path for passes with one new token per sequence; null if there is none, in which case use
    /// <see cref="Logits"/>.</summary>
    /// <param name="cache">A cache of this model; remains owned by the caller, and outlives the decoder.</param>
    /// <param name="vocabularySize">Exclusive upper bound of the ids that may be generated.</param>
    IDecoder? NewDecoder(KvCache cache, int vocabularySize) => null;
}
