using System.Globalization;
using GlmTune.Training;

namespace GlmTune.Recipes.Training;

/// <summary>Keys of a recipe that make a run need less memory, the cheapest in speed first.</summary>
internal static class MemoryRemedies
{
    /// <summary>One sentence that names each with its value.</summary>
    /// <param name="recipe">What ran out of memory, everything resolved.</param>
    /// <param name="longest">Tokens of the longest row.</param>
    public static string Sentence(Recipe recipe, int longest)
    {
        var training = recipe.Training;
        List<string> ways = [];
        void Add(string key, object value) =>
            ways.Add(string.Create(CultureInfo.InvariantCulture, $"training_args.{key}: {value}"));
        if (training.Recompute != RecomputeMode.All)
        {
            Add("gradient_checkpointing", "true");
        }

        if (recipe.Batches.PackedTokens is { } packed && packed > longest)
        {
            Add("pack_length", Math.Max(longest, packed / 2));
        }
        else if (recipe.Batches.PackedTokens is null && training.MicroBatchSize > 1)
        {
            Add("per_device_train_batch_size", training.MicroBatchSize / 2);
            Add("gradient_accumulation_steps", training.AccumulationSteps * 2);
        }

        if (!training.OffloadEmbedding && (recipe.Lora ?? (object?)recipe.Prefix) is not null)
        {
            Add("offload_embedding", "true");
        }

        return ways.Count == 0
            ? "Use shorter rows, more GPUs, or a GPU with more memory."
            : $"To need less, set {string.Join(", ", ways)}.";
    }
}
