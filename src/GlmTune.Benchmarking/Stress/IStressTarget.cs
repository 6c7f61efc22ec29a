namespace GlmTune.Benchmarking.Stress;

/// <summary>The outcome of one request.</summary>
/// <param name="PromptTokens">Tokens of the prompt, as counted by the target.</param>
/// <param name="AnswerTokens">Tokens of the answer.</param>
/// <param name="FirstToken">Time from the request to the first token.</param>
/// <param name="Whole">Time from the request to the last token.</param>
internal sealed record StressAnswer(int PromptTokens, int AnswerTokens, TimeSpan FirstToken, TimeSpan Whole)
{
    /// <summary>Seconds from each token to the next, or from each piece that a server sends to the next.</summary>
    public IReadOnlyList<double> Gaps { get; init; } = [];

    /// <summary>Seconds between points in time.</summary>
    public static double[] GapsOf(IReadOnlyList<TimeSpan> times) =>
        [.. times.Zip(times.Skip(1), (from, to) => (to - from).TotalSeconds)];

    /// <summary>Tokens per second after the first; NaN for an answer of one token.</summary>
    public double TokensPerSecond =>
        AnswerTokens > 1 && Whole > FirstToken ? (AnswerTokens - 1) / (Whole - FirstToken).TotalSeconds : double.NaN;
}

/// <summary>One request of a load test.</summary>
/// <param name="PromptTokens">Tokens of the prompt.</param>
/// <param name="MaxNewTokens">Maximum tokens of the answer.</param>
/// <param name="Random">Source of randomness for the prompt, used by this request alone.</param>
internal sealed record StressRequest(int PromptTokens, int MaxNewTokens, Random Random)
{
    /// <summary>Tokens at the beginning that all prompts of the test share.</summary>
    public int SharedTokens { get; init; }

    /// <summary>Name of the adapter, or of a server's model, to ask; null: the one that the target has for
    /// all.</summary>
    public string? Adapter { get; init; }
}

/// <summary>A target of load tests: something that answers requests.</summary>
internal interface IStressTarget
{
    /// <summary>Name of the target, for the report.</summary>
    string Name { get; }

    /// <summary>Sends one request and waits for the whole answer. Called concurrently.</summary>
    /// <param name="request">The request.</param>
    /// <param name="cancellation">Cancels it.</param>
    Task<StressAnswer> AskAsync(StressRequest request, CancellationToken cancellation);
}
