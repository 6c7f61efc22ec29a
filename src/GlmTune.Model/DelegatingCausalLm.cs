using GlmTune.Kernels.Definitions;
using GlmTune.Model.Adapters;
using GlmTune.Model.Layers;
using static TorchSharp.torch;

namespace GlmTune.Model;

/// <summary>Forwards every call to another model; derived classes override some of them.</summary>
/// <param name="inner">The other model; remains owned by the caller.</param>
internal abstract class DelegatingCausalLm(ICausalLm inner) : ICausalLm
{
    /// <summary>The other model.</summary>
    protected ICausalLm Inner => inner;

    /// <inheritdoc/>
    public virtual ModelConfig Config => inner.Config;

    /// <inheritdoc/>
    public virtual Device Device => inner.Device;

    /// <inheritdoc/>
    public virtual int VirtualTokens => inner.VirtualTokens;

    /// <inheritdoc/>
    public virtual IReadOnlyList<ServedAdapter> Adapters => inner.Adapters;

    /// <inheritdoc/>
    public virtual int? MaxAdaptersOfPass => inner.MaxAdaptersOfPass;

    /// <inheritdoc/>
    public virtual int MaxVirtualTokens => inner.MaxVirtualTokens;

    /// <inheritdoc/>
    public virtual long CachedTokenBytes => inner.CachedTokenBytes;

    /// <inheritdoc/>
    public virtual int VirtualTokensOf(ServedAdapter? adapter) => inner.VirtualTokensOf(adapter);

    /// <inheritdoc/>
    public virtual KvCache NewCache(int blocks, int slots, int capacity) => inner.NewCache(blocks, slots, capacity);

    /// <inheritdoc/>
    public virtual void WritePrefix(KvCache cache, IReadOnlyList<int> blocks, ServedAdapter? adapter) =>
        inner.WritePrefix(cache, blocks, adapter);

    /// <inheritdoc/>
    public virtual Tensor Logits(
        int[] tokenIds,
        SequenceLayout sequences,
        CacheStep? cache = null,
        bool lastOnly = false,
        IReadOnlyList<ServedAdapter?>? adapters = null
    ) => inner.Logits(tokenIds, sequences, cache, lastOnly, adapters);

    /// <inheritdoc/>
    public virtual double Loss(int[] tokenIds, SequenceLayout sequences, SupervisedTargets targets) =>
        inner.Loss(tokenIds, sequences, targets);

    /// <inheritdoc/>
    public virtual IDecoder? NewDecoder(KvCache cache, int vocabularySize) => inner.NewDecoder(cache, vocabularySize);
}
