namespace GlmTune.Evaluation;

/// <summary>A loss over supervised tokens, stored as a sum so that partial results can be added.</summary>
/// <param name="Sum">Sum of −ln p over the tokens.</param>
/// <param name="Tokens">Number of tokens in the sum.</param>
public readonly record struct LossTotal(double Sum, long Tokens)
{
    /// <summary>Mean of −ln p per token; NaN if there are no tokens.</summary>
    public double Mean => Sum / Tokens;

    /// <summary>e to the power of <see cref="Mean"/>; infinite if too large for a double.</summary>
    public double Perplexity => Math.Exp(Mean);

    /// <summary>The combined loss over the tokens of both.</summary>
    public static LossTotal operator +(LossTotal one, LossTotal other) =>
        new(one.Sum + other.Sum, one.Tokens + other.Tokens);
}
