
namespace GlmTune.Benchmarking.Stress;

/// <summary>How hard something that answers is pressed.</summary>
public sealed record StressOptions
{
    /// <summary>Tokens of a prompt; each length is a setting of its own. Default 1000.</summary>
    public IReadOnlyList<int> PromptTokens { get; init; } = [1000];

    /// <summary>Requests at the same time; each number is a setting of its own. Default 1.</summary>
    public IReadOnlyList<int> Concurrency { get; init; } = [1];

    /// <summary>Requests, one after another, of each of those that ask at the same time. Default 3.</summary>
    public int Rounds { get; init; } = 3;

    /// <summary>Tokens of an answer. Default 512.</summary>
    public int MaxNewTokens { get; init; } = 512;

    /// <summary>Decides the prompts.</summary>
    public int Seed { get; init; } = 1;

    /// <exception cref="ArgumentException">A number is out of range; all of them are named.</exception>
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
