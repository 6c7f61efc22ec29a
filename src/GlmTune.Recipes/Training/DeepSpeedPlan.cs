using GlmTune.Training.Sharding;

namespace GlmTune.Recipes.Training;

/// <summary>A recipe together with what its DeepSpeed file came to for one model and one number of ranks.</summary>
/// <param name="Recipe">The recipe, with the schedule, clipping and precision that the DeepSpeed file says.</param>
/// <param name="Sharding">What is spread over the ranks, and how it is sent.</param>
/// <param name="Settings">What became of each key, in the order of reading.</param>
public sealed record DeepSpeedPlan(Recipe Recipe, ShardingOptions Sharding, IReadOnlyList<DeepSpeedSetting> Settings);

/// <summary>What became of one key of a DeepSpeed file.</summary>
/// <param name="Key">Its full name with dots.</param>
/// <param name="Written">What the file has; null when it says nothing.</param>
/// <param name="Became">The value that holds, or why the key does nothing here.</param>
public sealed record DeepSpeedSetting(string Key, string? Written, string Became)
{
    /// <summary>One line: the key, what is written, what it became.</summary>
    public override string ToString() => $"{Key}: {Written ?? "(absent)"} -> {Became}";
}
