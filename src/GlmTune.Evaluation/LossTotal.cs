namespace GlmTune.Evaluation;

/// <summary>The loss over supervised tokens, kept as a sum so that parts can be added.</summary>
/// <param name="Sum">Sum of −ln p.</param>
/// <param name="Tokens">How many tokens it is over.</param>
public readonly record struct LossTotal(double Sum, long Tokens)
{
    /// <summary>Mean −ln p of a token; NaN where there is none.</summary>
    public double Mean => Sum / Tokens;

    /// <summary>e to the power of <see cref="Mean"/>; infinite where a double cannot hold it.</summary>
    public double Perplexity => Math.Exp(Mean);

    /// <summary>The loss over the tokens of both.</summary>
    public static LossTotal operator +(LossTotal one, LossTotal other) =>
        new(one.Sum + other.Sum, one.Tokens + other.Tokens);
}
