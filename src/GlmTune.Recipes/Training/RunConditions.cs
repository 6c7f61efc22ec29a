using GlmTune.Training;

namespace GlmTune.Recipes.Training;

/// <summary>What tests set about a run: how checkpoints are written behind training, and what happens in its
/// steps.</summary>
/// <param name="Writing">Called with a step on the thread that writes its checkpoint, once the state is copied and
/// before anything is written; null: not called.</param>
/// <param name="AvailableMemory">Bytes of host memory that a process may still use; null: as the machine has
/// it.</param>
/// <param name="Prepared">Called with the trainer on each rank before the first step; null: not called.</param>
internal sealed record RunConditions(
    Action<long>? Writing = null,
    long? AvailableMemory = null,
    Action<Trainer>? Prepared = null
);
