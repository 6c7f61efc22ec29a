using GlmTune.Kernels;
using GlmTune.Kernels.Definitions;
using GlmTune.Model;
using GlmTune.Model.Adapters;
using GlmTune.Model.Glm4;
using GlmTune.Model.Layers;
using static TorchSharp.torch;

namespace GlmTune.Recipes.Evaluating;

/// <summary>A model that asks before each pass whether the ranks go on; all else is the model's own.</summary>
/// <param name="inner">Whole on this rank.</param>
/// <param name="agreement">Asked.</param>
internal sealed class StoppableModel(ICausalLm inner, StopAgreement agreement) : ICausalLm
{
    /// <inheritdoc/>
    public Glm4Config Config => inner.Config;

    /// <inheritdoc/>
    public Device Device => inner.Device;

    /// <inheritdoc/>
    public int VirtualTokens => inner.VirtualTokens;

    /// <inheritdoc/>
    public IReadOnlyList<ServedAdapter> Adapters => inner.Adapters;

    /// <inheritdoc/>
    public int MostVirtualTokens => inner.MostVirtualTokens;

    /// <inheritdoc/>
    public long CachedTokenBytes => inner.CachedTokenBytes;

    /// <inheritdoc/>
    public int VirtualTokensOf(ServedAdapter? adapter) => inner.VirtualTokensOf(adapter);

    /// <inheritdoc/>
    public KvCache NewCache(int slots, int capacity) => inner.NewCache(slots, capacity);

    /// <inheritdoc/>
    public void StartSlot(KvCache cache, int slot, ServedAdapter? adapter) => inner.StartSlot(cache, slot, adapter);

    /// <inheritdoc/>
    /// <exception cref="OperationCanceledException">A rank was asked to stop.</exception>
    public Tensor Logits(
        int[] tokenIds,
        SequenceLayout sequences,
        CacheStep? cache = null,
        bool lastOnly = false,
        IReadOnlyList<ServedAdapter?>? adapters = null
    )
    {
        agreement.BeforePass();
        return inner.Logits(tokenIds, sequences, cache, lastOnly, adapters);
    }

    /// <inheritdoc/>
    /// <exception cref="OperationCanceledException">A rank was asked to stop.</exception>
    public double Loss(int[] tokenIds, SequenceLayout sequences, SupervisedTargets targets)
    {
        agreement.BeforePass();
        return inner.Loss(tokenIds, sequences, targets);
    }

    /// <inheritdoc/>
    public IDecoder? NewDecoder(KvCache cache, int vocabularySize) =>
        inner.NewDecoder(cache, vocabularySize) is { } decoder ? new Decoder(decoder, agreement) : null;

    private sealed class Decoder(IDecoder inner, StopAgreement agreement) : IDecoder
    {
        public bool IsUsable => inner.IsUsable;

        public bool CanGoOn => inner.CanGoOn;

        public Tensor Logits => inner.Logits;

        public void Begin(ReadOnlySpan<DecodeRow> rows)
        {
            agreement.BeforePass();
            inner.Begin(rows);
        }

        public void GoOn()
        {
            agreement.BeforePass();
            inner.GoOn();
        }

        public LikeliestToken[] Likeliest() => inner.Likeliest();

        public void Dispose() => inner.Dispose();
    }
}
