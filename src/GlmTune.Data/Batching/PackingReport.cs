namespace GlmTune.Data.Batching;

/// <summary>How well packed micro-batches are filled.</summary>
/// <param name="Rows">Rows of the data.</param>
/// <param name="MicroBatches">Micro-batches that they make in an epoch.</param>
/// <param name="Limit">Tokens that a micro-batch has room for.</param>
/// <param name="Efficiency">Part of that room that holds a token, over the epoch.</param>
public sealed record PackingReport(int Rows, int MicroBatches, int Limit, double Efficiency);
