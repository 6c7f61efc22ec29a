namespace GlmTune.Recipes.Configuration;

/// <summary>Which conversations are read and how they become tokens (<c>data_config</c> and the lengths of a recipe).</summary>
/// <remarks>Immutable. File names are inside the data folder, which is not part of a recipe.</remarks>
public sealed record DataOptions
{
    /// <summary>Training rows, a <c>.jsonl</c> file.</summary>
    public required string TrainFile { get; init; }

    /// <summary>Rows evaluated during training; null turns evaluation off.</summary>
    public string? ValidationFile { get; init; }

    /// <summary>Rows predicted at the end; null predicts none.</summary>
    public string? TestFile { get; init; }

    /// <summary>Parallel preprocessing workers; at least 1. Default 1.</summary>
    public int Workers { get; init; } = 1;

    /// <summary>Most rows taken from the training file; null takes all.</summary>
    public int? MaxTrainRows { get; init; }

    /// <summary>Most rows taken from the validation file; null takes all.</summary>
    public int? MaxValidationRows { get; init; }

    /// <summary>Most rows taken from the test file; null takes all.</summary>
    public int? MaxTestRows { get; init; }

    /// <summary>Most tokens of a prompt; a training row is cut to this + <see cref="MaxOutputLength"/> + 1. At least 1.
    /// Default 512.</summary>
    public int MaxInputLength { get; init; } = 512;

    /// <summary>Most tokens of an answer; at least 1. Default 512.</summary>
    public int MaxOutputLength { get; init; } = 512;

    /// <summary>Learn the last answer of a conversation only. Default false: every answer.</summary>
    public bool Combine { get; init; }

    /// <summary>Special token that ends a conversation. Default <c>&lt;|user|&gt;</c>.</summary>
    public string EndToken { get; init; } = "<|user|>";

    /// <summary>Name of the template revision. Default <c>glm-4</c>.</summary>
    public string Template { get; init; } = "glm-4";

    /// <summary>What a row that cannot be used does. Default <see cref="BadRowPolicy.Error"/>.</summary>
    public BadRowPolicy BadRows { get; init; }
}

/// <summary>What happens to a row that cannot be used.</summary>
public enum BadRowPolicy
{
    /// <summary>All such rows are reported and nothing is trained.</summary>
    Error,

    /// <summary>Such rows are left out and counted.</summary>
    Skip,
}
