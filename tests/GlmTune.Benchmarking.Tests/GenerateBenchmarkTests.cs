using GlmTune.Recipes.Tests;

namespace GlmTune.Benchmarking.Tests;

public class GenerateBenchmarkTests
{
    [Theory]
    [InlineData(false, 0, 0, false)]
    [InlineData(true, 4, 0, true)]
    [InlineData(false, 4, 2, false)]
    public void Every_case_is_measured(bool sample, int loraRank, int adapters, bool plain)
    {
        var result = GenerateBenchmark.Run(
            new GenerateBenchmarkOptions
            {
                Model = Path.Combine(TinyRun.Repository, "models", "glm-nano"),
                Batches = [1, 3],
                PromptTokens = 5,
                NewTokens = 6,
                FirstTokenPrompt = 9,
                FirstTokenRuns = 1,
                Sample = sample,
                LoraRank = loraRank,
                Adapters = adapters,
                Plain = plain,
            }
        );
        Assert.Equal([1, 3], result.Cases.Select(found => found.Batch));
        Assert.All(
            result.Cases,
            found =>
                Assert.True(
                    found
                        is
                    {
                        FirstTokenSeconds: > 0,
                        TokensPerSecond: > 0,
                        StepSeconds: > 0,
                        ReadGigabytesPerSecond: > 0
                    },
                    found.ToString()
                )
        );
        Assert.True(result.FirstTokenSeconds > 0);
        Assert.Equal((5, 6, 9), (result.Cases[0].PromptTokens, result.Cases[0].NewTokens, result.FirstTokenPrompt));
    }

    [Fact]
    public void One_token_answers_have_no_steps()
    {
        var result = GenerateBenchmark.Run(
            new GenerateBenchmarkOptions
            {
                Model = Path.Combine(TinyRun.Repository, "models", "glm-nano"),
                Batches = [2],
                PromptTokens = 3,
                NewTokens = 1,
                FirstTokenPrompt = 0,
            }
        );
        Assert.Null(result.FirstTokenSeconds);
        Assert.True(result.Cases[0] is { TokensPerSecond: 0, StepSeconds: 0, FirstTokenSeconds: > 0 });
    }
}
