using GlmTune.Data.Templates;

namespace GlmTune.Recipes.Configuration;

/// <summary>Which conversations are read and how they become tokens (<c>data_config</c> and the lengths of a
/// recipe).</summary>
/// <remarks>Immutable. File names are inside the data folder, which is not part of a recipe.</remarks>
public sealed record DataOptions
{
    /// <summary>Training rows: a file of JSON Lines or a JSON array.</summary>
    public required string TrainFile { get; init; }

    /// <summary>Rows evaluated during training; null turns evaluation off.</summary>
    public string? ValidationFile { get; init; }

    /// <summary>Rows predicted at the end; null predicts none.</summary>
    public string? TestFile { get; init; }

    /// <summary>How the training file becomes examples.</summary>
    public ExampleOptions TrainRows { get; init; } = new();

    /// <summary>How the validation file becomes examples.</summary>
    public ExampleOptions ValidationRows { get; init; } = new();

    /// <summary>How the test file becomes examples.</summary>
    public ExampleOptions TestRows { get; init; } = new();

    /// <summary>The chat format, its limits and what is supervised.</summary>
    public TemplateOptions Template { get; init; } = new();
}
