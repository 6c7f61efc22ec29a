namespace GlmTune.Inference;

/// <summary>Why an answer ended.</summary>
public enum FinishReason
{
    /// <summary>The model gave a stop token.</summary>
    Stop,

    /// <summary>The answer has as many tokens as were allowed.</summary>
    Length,
}

/// <summary>One token of an answer.</summary>
/// <param name="Id">The token.</param>
/// <param name="Finish">Null but for an answer's last token; a stop token itself is the last one.</param>
public readonly record struct GeneratedToken(int Id, FinishReason? Finish)
{
    /// <summary>Tokens of the prompt that were not read for this answer, since another one had left them in the
    /// cache.</summary>
    public int CachedTokens { get; init; }

    /// <summary>Natural logarithm of its probability; null where not asked for.</summary>
    public double? LogProbability { get; init; }

    /// <summary>The likeliest tokens at its position, the likeliest first; null where not asked for.</summary>
    public IReadOnlyList<TokenProbability>? TopProbabilities { get; init; }
}
