namespace GlmTune.Data.Batching;

/// <summary>What one rank is fed in one step (one update of the weights).</summary>
/// <param name="MicroBatches">This rank's micro-batches; every rank has as many, some perhaps fillers without
/// examples.</param>
/// <param name="SupervisedTokens">Labels that count in the whole step, over all ranks: what the summed loss is divided
/// by.</param>
/// <param name="Examples">Examples in the whole step, over all ranks.</param>
/// <param name="After">Where the data stands after this step.</param>
/// <param name="Epoch">Passes over the data after this step, with the fraction of the current one.</param>
public sealed record StepBatches(
    IReadOnlyList<MicroBatch> MicroBatches,
    int SupervisedTokens,
    int Examples,
    DataCursor After,
    double Epoch
)
{
    /// <summary>Real tokens fed in the whole step, over all ranks.</summary>
    public int Tokens { get; init; } = MicroBatches.Sum(batch => batch.TokenIds.Length);
}
