namespace GlmTune.Recipes;

/// <summary>A key that a recipe or a DeepSpeed file may have.</summary>
/// <param name="Path">Its full name with dots, such as <c>training_args.max_steps</c>.</param>
/// <param name="Default">The value when it is not written, as it would be written; empty for keys that are not honoured
/// and for sections.</param>
/// <param name="Effect">What writing it does.</param>
public sealed record RecipeKey(string Path, string Default, RecipeKeyEffect Effect)
{
    /// <summary>The last word of <see cref="Path"/>.</summary>
    public string Name => Path[(Path.LastIndexOf('.') + 1)..];
}

/// <summary>What writing a key does.</summary>
public enum RecipeKeyEffect
{
    /// <summary>What its name says.</summary>
    Honoured,

    /// <summary>Nothing; a note says why.</summary>
    None,

    /// <summary>An error, unless the value leaves the results as they are.</summary>
    Unsupported,
}
