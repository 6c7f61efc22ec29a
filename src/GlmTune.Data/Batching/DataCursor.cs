namespace GlmTune.Data.Batching;

/// <summary>A position in the training data, stored in checkpoints so that a resumed run continues with the next
/// example.</summary>
/// <param name="Epoch">Number of completed passes.</param>
/// <param name="Examples">Examples of the current pass used so far over all ranks; valid for any world size.</param>
internal readonly record struct DataCursor(int Epoch, int Examples);
