using GlmTune.Kernels.Definitions;
using GlmTune.Model;
using GlmTune.Model.Adapters;
using GlmTune.Model.Layers;
using static TorchSharp.torch;

namespace GlmTune.Recipes.Evaluating;

/// <summary>A model that checks before each pass whether the ranks should stop.</summary>
/// <param name="inner">The model, complete on this rank.</param>
/// <param name="agreement">Decides whether to stop.</param>
internal sealed class StoppableModel(ICausalLm inner, StopAgreement agreement) : DelegatingCausalLm(inner)
{
    /// <inheritdoc/>
    /// <exception cref="OperationCanceledException">A rank was asked to stop.</exception>
    public override Tensor Logits(
        int[] tokenIds,
        SequenceLayout sequences,
        CacheStep? cache = null,
        bool lastOnly = false,
        IReadOnlyList<ServedAdapter?>? adapters = null
    )
    {
        agreement.BeforePass();
        return base.Logits(tokenIds, sequences, cache, lastOnly, adapters);
    }

    /// <inheritdoc/>
    /// <exception cref="OperationCanceledException">A rank was asked to stop.</exception>
    public override double Loss(int[] tokenIds, SequenceLayout sequences, SupervisedTargets targets)
    {
        agreement.BeforePass();
        return base.Loss(tokenIds, sequences, targets);
    }

    /// <inheritdoc/>
    public override IDecoder? NewDecoder(KvCache cache, int vocabularySize) =>
        base.NewDecoder(cache, vocabularySize) is { } decoder ? new Decoder(decoder, agreement) : null;

    private sealed class Decoder(IDecoder inner, StopAgreement agreement) : IDecoder
    {
        public bool IsUsable => inner.IsUsable;

        public bool CanAdvance => inner.CanAdvance;

        public Tensor Logits => inner.Logits;

        public void Begin(ReadOnlySpan<DecodeRow> rows, SamplingTable? table)
        {
            agreement.BeforePass();
            inner.Begin(rows, table);
        }

        public void Advance(SamplingTable? table)
        {
            agreement.BeforePass();
            inner.Advance(table);
        }

        public ChosenToken[] Tokens() => inner.Tokens();

        public void Dispose() => inner.Dispose();
    }
}
