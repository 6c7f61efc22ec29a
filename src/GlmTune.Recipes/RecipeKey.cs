using GlmTune.Recipes.Configuration;

namespace GlmTune.Recipes;

/// <summary>A known key of a recipe or a DeepSpeed file.</summary>
/// <param name="Path">Its full name with dots, such as <c>training_args.max_steps</c>.</param>
/// <param name="Default">The default value as it would be written; empty for sections and for keys that are not
/// honoured.</param>
/// <param name="Effect">The effect of setting it.</param>
public sealed record RecipeKey(string Path, string Default, RecipeKeyEffect Effect)
{
    /// <summary>Whether it is only another name of a key.</summary>
    internal bool IsOlderName { get; init; }

    /// <summary>The values that it takes.</summary>
    internal KeyShape Shape { get; init; } = KeyShape.Other;

    /// <summary>The last part of <see cref="Path"/>.</summary>
    public string Name => Path[(Path.LastIndexOf('.') + 1)..];
}

/// <summary>The effect of setting a key.</summary>
public enum RecipeKeyEffect
{
    /// <summary>It is honoured.</summary>
    Honoured,

    /// <summary>No effect; a note says why.</summary>
    None,

    /// <summary>An error, unless its value does not change results.</summary>
    Unsupported,
}
