namespace GlmTune.Data.Batching;

/// <summary>Where training stands in its data: what a checkpoint keeps so that a resumed run continues with the next
/// example.</summary>
/// <param name="Epoch">Full passes that are done.</param>
/// <param name="Examples">Examples of the current pass that are used, over all ranks; valid for any number of
/// ranks.</param>
public readonly record struct DataCursor(int Epoch, int Examples);
