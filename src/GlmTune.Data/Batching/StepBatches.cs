namespace GlmTune.Data.Batching;

/// <summary>The input of one rank for one step (one update of the weights).</summary>
/// <param name="MicroBatches">This rank's micro-batches. Every rank has the same number; some may be fillers without
/// examples.</param>
/// <param name="SupervisedTokens">Supervised labels in the whole step over all ranks, by which the summed loss is
/// divided.</param>
/// <param name="Examples">Examples in the whole step, over all ranks.</param>
/// <param name="After">Position in the data after this step.</param>
/// <param name="Epoch">Number of passes after this step, including the fraction of the current one.</param>
internal sealed record StepBatches(
    IReadOnlyList<MicroBatch> MicroBatches,
    int SupervisedTokens,
    int Examples,
    DataCursor After,
    double Epoch
)
{
    /// <summary>Tokens in the whole step over all ranks, without padding.</summary>
    public int Tokens { get; init; } = MicroBatches.Sum(batch => batch.TokenIds.Length);
}
