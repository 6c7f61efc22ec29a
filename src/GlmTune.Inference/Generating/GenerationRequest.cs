using GlmTune.Constraints;

namespace GlmTune.Inference;

/// <summary>One prompt to continue.</summary>
/// <param name="Prompt">Token ids, at least one.</param>
internal sealed record GenerationRequest(IReadOnlyList<int> Prompt)
{
    /// <summary>Generation options; unset values are those of the generator.</summary>
    public GenerationOptions Options { get; init; } = new();

    /// <summary>Name of the served adapter to use; null: the base model, or the adapter attached to it.</summary>
    public string? Adapter { get; init; }

    /// <summary>Whose prompt it is: those of several clients are processed in turns. Null counts as one
    /// client.</summary>
    public string? Client { get; init; }

    /// <summary>Whether to return the log probability of each token.</summary>
    public bool LogProbabilities { get; init; }

    /// <summary>How many of the most likely tokens to return per position; requires
    /// <see cref="LogProbabilities"/>.</summary>
    public int TopLogProbabilities { get; init; }

    /// <summary>Forbids tokens; null: none.</summary>
    public TokenMask? Mask { get; init; }
}
