using GlmTune.Constraints;

namespace GlmTune.Inference;

/// <summary>One prompt to be continued.</summary>
/// <param name="Prompt">Token ids, at least one.</param>
public sealed record GenerationRequest(IReadOnlyList<int> Prompt)
{
    /// <summary>How; what is unsaid is the generator's.</summary>
    public GenerationOptions Options { get; init; } = new();

    /// <summary>Name of the served adapter that answers; null: the base, or the adapter that is attached to
    /// it.</summary>
    public string? Adapter { get; init; }

    /// <summary>Whether each token comes with its log probability.</summary>
    public bool LogProbabilities { get; init; }

    /// <summary>How many of the likeliest tokens at each position are reported too; needs
    /// <see cref="LogProbabilities"/>.</summary>
    public int TopLogProbabilities { get; init; }

    /// <summary>Forbids tokens; null: none.</summary>
    public LogitsMask? Mask { get; init; }
}
