namespace GlmTune.Recipes.Configuration;

/// <summary>What kind of value a key takes, so that a form can ask for it.</summary>
internal enum KeyKind
{
    /// <summary>Keys of its own, or a form of its own; written as YAML.</summary>
    Other,

    /// <summary>A text.</summary>
    Text,

    /// <summary>A path of a file or folder.</summary>
    Path,

    /// <summary>An integer.</summary>
    Whole,

    /// <summary>A number.</summary>
    Number,

    /// <summary>True or false.</summary>
    Flag,

    /// <summary>One of some words.</summary>
    Choice,

    /// <summary>A list of texts.</summary>
    List,

    /// <summary>A mapping whose keys are known keys themselves.</summary>
    Section,
}

/// <summary>The values that a key takes, recorded while the key is read.</summary>
/// <param name="Kind">The kind of value.</param>
internal sealed record KeyShape(KeyKind Kind)
{
    /// <summary>Without restrictions that are known before the value is read.</summary>
    public static readonly KeyShape Other = new(KeyKind.Other);

    /// <summary>The smallest number; null if there is none, or for values of another kind.</summary>
    public double? Least { get; init; }

    /// <summary>The largest number; null if there is none, or for values of another kind.</summary>
    public double? Most { get; init; }

    /// <summary>Whether <c>auto</c> is a value too.</summary>
    public bool TakesAuto { get; init; }

    /// <summary>The words of a choice, one for each value.</summary>
    public IReadOnlyList<string> Words { get; init; } = [];
}
