using GlmTune.Data.Templates;

namespace GlmTune.Recipes.Configuration;

/// <summary>Which data files are read and how rows are tokenized (<c>data_config</c> and the length limits of a
/// recipe).</summary>
/// <remarks>Immutable. File names are relative to the data folder, which is not part of a recipe.</remarks>
public sealed record DataOptions
{
    /// <summary>File of the training rows: JSON Lines or a JSON array.</summary>
    public required string TrainFile { get; init; }

    /// <summary>File of the rows evaluated during training; null: no evaluation.</summary>
    public string? ValidationFile { get; init; }

    /// <summary>File of the rows scored after training; null: none.</summary>
    public string? TestFile { get; init; }

    /// <summary>How the training file is turned into examples.</summary>
    public ExampleOptions TrainRows { get; init; } = new();

    /// <summary>How the validation file is turned into examples.</summary>
    public ExampleOptions ValidationRows { get; init; } = new();

    /// <summary>How the test file is turned into examples.</summary>
    public ExampleOptions TestRows { get; init; } = new();

    /// <summary>Whether the tokenized rows of large files are kept in the user's cache folder, so that the next run
    /// need not tokenize them.</summary>
    public bool RowCache { get; init; } = true;

    /// <summary>The chat template with its length limits, and what is supervised.</summary>
    public TemplateOptions Template { get; init; } = new();
}
