namespace GlmTune.Data.Batching;

/// <summary>How full packed micro-batches are.</summary>
/// <param name="Rows">Rows of the data.</param>
/// <param name="MicroBatches">Micro-batches per epoch.</param>
/// <param name="Limit">Capacity of a micro-batch in tokens.</param>
/// <param name="Efficiency">Fraction of the capacity that holds tokens, over the epoch.</param>
internal sealed record PackingReport(int Rows, int MicroBatches, int Limit, double Efficiency);
