using GlmTune.Model;
using GlmTune.Training.SequenceParallel;

namespace GlmTune.Recipes.Training;

/// <summary>Whether the ranks of a run can share the tokens of each micro-batch, as <c>sequence_parallel_size</c>
/// asks.</summary>
internal static class SharedSequences
{
    /// <summary>Refuses what cannot be done, before anything is loaded.</summary>
    /// <exception cref="InvalidDataException">The size is neither 1 nor the number of ranks, or the model's heads
    /// cannot be shared by so many.</exception>
    public static void Check(Recipe recipe, ModelConfig config, int worldSize)
    {
        var size = recipe.Training.SequenceParallelSize;
        if (size == 1)
        {
            return;
        }

        if (size != worldSize)
        {
            throw new InvalidDataException(
                $"'training_args.sequence_parallel_size' is {size}, but the run has {worldSize} "
                    + $"{(worldSize == 1 ? "rank" : "ranks")}; expected 1 or {worldSize}. "
                    + $"Start {size} ranks (--nproc-per-node {size}), or change the key."
            );
        }

        if (HeadExchange.Problem(config.Heads, size) is { } problem)
        {
            throw new InvalidDataException($"'training_args.sequence_parallel_size' is {size}: {problem}");
        }
    }
}
