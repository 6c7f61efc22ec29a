namespace GlmTune.Inference;

/// <summary>Why generation stopped.</summary>
public enum FinishReason
{
    /// <summary>The model generated a stop token.</summary>
    Stop,

    /// <summary>The answer reached its maximum length.</summary>
    Length,
}

/// <summary>One token of an answer.</summary>
/// <param name="Id">The token id.</param>
/// <param name="Finish">Set for the last token of an answer only, which may be a stop token; otherwise null.</param>
public readonly record struct GeneratedToken(int Id, FinishReason? Finish)
{
    /// <summary>Number of prompt tokens found in the KV cache, left there by another answer, and therefore not
    /// processed again.</summary>
    public int CachedTokens { get; init; }

    /// <summary>Natural logarithm of its probability; null if not requested.</summary>
    public double? LogProbability { get; init; }

    /// <summary>The most likely tokens at its position, most likely first; null if not requested.</summary>
    public IReadOnlyList<TokenProbability>? TopProbabilities { get; init; }
}
