namespace GlmTune.Benchmarking.Stress;

/// <summary>Settings of a load test.</summary>
internal sealed record StressOptions
{
    /// <summary>Prompt lengths in tokens; each is measured on its own. Default: 1000.</summary>
    public IReadOnlyList<int> PromptTokens { get; init; } = [1000];

    /// <summary>Concurrency levels; each is measured on its own. Default: 1.</summary>
    public IReadOnlyList<int> Concurrency { get; init; } = [1];

    /// <summary>Consecutive requests per concurrent client. Default: 3.</summary>
    public int Rounds { get; init; } = 3;

    /// <summary>Tokens per answer. Default: 512.</summary>
    public int MaxNewTokens { get; init; } = 512;

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

        if (problems.Count > 0)
        {
            throw new ArgumentException($"Cannot start the load test: {string.Join("; ", problems)}.");
        }
    }
}
