namespace GlmTune.Recipes.Training;

/// <summary>What tests set about checkpoints that are written behind training.</summary>
/// <param name="Writing">Called with a step on the thread that writes its checkpoint, once the state is copied and
/// before anything is written; null: not called.</param>
/// <param name="AvailableMemory">Bytes of host memory that a process may still use; null: as the machine has
/// it.</param>
internal sealed record SaveConditions(Action<long>? Writing = null, long? AvailableMemory = null);
