namespace GlmTune.Benchmarking.Stress;

/// <summary>Settings of a load test.</summary>
internal sealed record StressOptions
{
    /// <summary>Prompt lengths in tokens; each is measured on its own, unless they are mixed. Default: 1000.</summary>
    public IReadOnlyList<int> PromptTokens { get; init; } = [1000];

    /// <summary>Concurrency levels; each is measured on its own. Default: 1.</summary>
    public IReadOnlyList<int> Concurrency { get; init; } = [1];

    /// <summary>Consecutive requests per concurrent client. Default: 3.</summary>
    public int Rounds { get; init; } = 3;

    /// <summary>Tokens per answer. Default: 512.</summary>
    public int MaxNewTokens { get; init; } = 512;

    /// <summary>Whether each request draws one of the prompt lengths. Default: false.</summary>
    public bool Mixed { get; init; }

    /// <summary>Tokens at the beginning that all prompts share. Default: 0.</summary>
    public int SharedTokens { get; init; }

    /// <summary>Adapters, or models of a server, that requests ask in turn; empty: all ask the same one. Default:
    /// empty.</summary>
    public IReadOnlyList<string> Adapters { get; init; } = [];

    /// <summary>Mean requests per second of an open-loop test: requests come at random times (a Poisson process),
    /// whether or not earlier ones were answered; concurrency times rounds of them. Null: each client sends its next
    /// request when its last one was answered. Default: null.</summary>
    public double? Rate { get; init; }

    /// <summary>Seed of the prompts.</summary>
    public int Seed { get; init; } = 1;

    /// <exception cref="ArgumentException">Values are out of range; the message lists them all.</exception>
    public void Check()
    {
        var problems = new List<string>();
        if (PromptTokens.Count == 0 || PromptTokens.Any(count => count < StressPrompt.Fewest))
        {
            problems.Add($"prompts must have at least {StressPrompt.Fewest} tokens");
        }

        if (Concurrency.Count == 0 || Concurrency.Any(count => count < 1) || Rounds < 1 || MaxNewTokens < 1)
        {
            problems.Add("concurrency, repetitions and new tokens must be at least 1");
        }

        if (SharedTokens < 0 || Rate is <= 0 or double.NaN)
        {
            problems.Add("shared tokens must be at least 0, and a rate above 0");
        }

        if (problems.Count > 0)
        {
            throw new ArgumentException($"Cannot start the load test: {string.Join("; ", problems)}.");
        }
    }
}
