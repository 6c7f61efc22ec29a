namespace GlmTune.Benchmarking.Stress;

/// <summary>The outcome of one request.</summary>
/// <param name="PromptTokens">Tokens of the prompt, as counted by the target.</param>
/// <param name="AnswerTokens">Tokens of the answer.</param>
/// <param name="FirstToken">Time from the request to the first token.</param>
/// <param name="Whole">Time from the request to the last token.</param>
internal sealed record StressAnswer(int PromptTokens, int AnswerTokens, TimeSpan FirstToken, TimeSpan Whole)
{
    /// <summary>Tokens per second after the first; NaN for an answer of one token.</summary>
    public double TokensPerSecond =>
        AnswerTokens > 1 && Whole > FirstToken ? (AnswerTokens - 1) / (Whole - FirstToken).TotalSeconds : double.NaN;
}

/// <summary>A target of load tests: something that answers requests.</summary>
internal interface IStressTarget
{
    /// <summary>Name of the target, for the report.</summary>
    string Name { get; }

    /// <summary>Sends one request and waits for the whole answer. Called concurrently.</summary>
    /// <param name="promptTokens">Tokens of the prompt.</param>
    /// <param name="maxNewTokens">Maximum tokens of the answer.</param>
    /// <param name="random">Source of randomness for the prompt, used by this call alone.</param>
    /// <param name="cancellation">Cancels the request.</param>
    Task<StressAnswer> AskAsync(int promptTokens, int maxNewTokens, Random random, CancellationToken cancellation);
}
