using System.Diagnostics;

namespace GlmTune.Benchmarking.Stress;

/// <summary>The distribution of some values.</summary>
/// <param name="Mean">Their mean.</param>
/// <param name="P50">The median.</param>
/// <param name="P90">The 90th percentile.</param>
/// <param name="P99">The 99th percentile.</param>
internal sealed record StressSpread(double Mean, double P50, double P90, double P99)
{
    /// <summary>The distribution of some values, with linear interpolation between them; all NaN if there are
    /// none.</summary>
    public static StressSpread Of(IEnumerable<double> values)
    {
        var sorted = values.Where(double.IsFinite).Order().ToArray();
        return sorted.Length == 0
            ? new(double.NaN, double.NaN, double.NaN, double.NaN)
            : new(sorted.Average(), At(0.5), At(0.9), At(0.99));

        double At(double share)
        {
            var place = share * (sorted.Length - 1);
            var below = (int)place;
            return below == sorted.Length - 1
                ? sorted[below]
                : sorted[below] + ((place - below) * (sorted[below + 1] - sorted[below]));
        }
    }
}

/// <summary>Results of one setting.</summary>
/// <param name="PromptTokens">Requested tokens per prompt.</param>
/// <param name="Concurrency">Concurrent requests.</param>
/// <param name="Requests">Number of requests answered.</param>
/// <param name="Failed">Number of requests failed.</param>
/// <param name="Seconds">Time from the first request to the last answer.</param>
/// <param name="MeanPromptTokens">Mean tokens per prompt, as counted by the target.</param>
/// <param name="AnswerTokens">Total tokens of all answers.</param>
/// <param name="FirstTokenSeconds">Time to the first token.</param>
/// <param name="TokensPerSecond">Speed of one answer after its first token.</param>
/// <param name="RequestSeconds">Time to the last token.</param>
internal sealed record StressResult(
    int PromptTokens,
    int Concurrency,
    int Requests,
    int Failed,
    double Seconds,
    double MeanPromptTokens,
    long AnswerTokens,
    StressSpread FirstTokenSeconds,
    StressSpread TokensPerSecond,
    StressSpread RequestSeconds
)
{
    /// <summary>Tokens per second of all answers together.</summary>
    public double TotalTokensPerSecond => AnswerTokens / Seconds;

    /// <summary>Answers per second.</summary>
    public double RequestsPerSecond => Requests / Seconds;

    /// <summary>Message of the first failure; null if there was none.</summary>
    public string? Error { get; init; }
}

/// <summary>Runs a load test: each prompt length with each concurrency level, after one request to warm up.</summary>
internal static class StressTest
{
    /// <summary>Runs all settings in the order given.</summary>
    /// <param name="target">What is tested.</param>
    /// <param name="options">The settings.</param>
    /// <param name="onResult">Called with each result as soon as it is available.</param>
    /// <param name="stop">Cancels the test.</param>
    /// <exception cref="ArgumentException">A setting is out of range.</exception>
    /// <exception cref="InvalidDataException">The warm-up request fails, so there is nothing to measure.</exception>
    public static async Task<IReadOnlyList<StressResult>> RunAsync(
        IStressTarget target,
        StressOptions options,
        Action<StressResult>? onResult = null,
        CancellationToken stop = default
    )
    {
        options.Check();
        var results = new List<StressResult>();
        foreach (var length in options.PromptTokens)
        {
            try
            {
                await target
                    .AskAsync(length, Math.Min(options.MaxNewTokens, 16), new Random(options.Seed), stop)
                    .ConfigureAwait(false);
            }
            catch (Exception e) when (e is not OperationCanceledException)
            {
                throw new InvalidDataException(
                    $"{target.Name}: no answer to a prompt of {length} tokens. {e.Message}",
                    e
                );
            }

            foreach (var concurrency in options.Concurrency)
            {
                var result = await MeasureAsync(target, options, length, concurrency, stop).ConfigureAwait(false);
                results.Add(result);
                onResult?.Invoke(result);
            }
        }

        return results;
    }

    private static async Task<StressResult> MeasureAsync(
        IStressTarget target,
        StressOptions options,
        int length,
        int concurrency,
        CancellationToken stop
    )
    {
        var clock = Stopwatch.StartNew();
        var outcomes = (
            await Task.WhenAll(Enumerable.Range(0, concurrency).Select(asker => Task.Run(() => AskAll(asker), stop)))
                .ConfigureAwait(false)
        )
            .SelectMany(list => list)
            .ToList();
        var seconds = clock.Elapsed.TotalSeconds;
        var answers = outcomes.Select(outcome => outcome.Answer).OfType<StressAnswer>().ToList();
        return new StressResult(
            length,
            concurrency,
            answers.Count,
            outcomes.Count - answers.Count,
            seconds,
            answers.Select(answer => (double)answer.PromptTokens).DefaultIfEmpty(double.NaN).Average(),
            answers.Sum(answer => (long)answer.AnswerTokens),
            StressSpread.Of(answers.Select(answer => answer.FirstToken.TotalSeconds)),
            StressSpread.Of(answers.Select(answer => answer.TokensPerSecond)),
            StressSpread.Of(answers.Select(answer => answer.Whole.TotalSeconds))
        )
        {
            Error = outcomes.Select(outcome => outcome.Error).FirstOrDefault(error => error is not null),
        };

        async Task<List<(StressAnswer? Answer, string? Error)>> AskAll(int asker)
        {
            var list = new List<(StressAnswer?, string?)>();
            for (var round = 0; round < options.Rounds; round++)
            {
                // Every request has a different prompt, and the prompts are the same in every run.
                var random = new Random(HashCodeOf(options.Seed, length, concurrency, asker, round));
                try
                {
                    list.Add(
                        (await target.AskAsync(length, options.MaxNewTokens, random, stop).ConfigureAwait(false), null)
                    );
                }
                catch (Exception e) when (!stop.IsCancellationRequested)
                {
                    list.Add((null, e.Message));
                }
            }

            return list;
        }
    }

    private static int HashCodeOf(params ReadOnlySpan<int> parts)
    {
        var hash = 17;
        foreach (var part in parts)
        {
            hash = unchecked((hash * 1000003) + part);
        }

        return hash;
    }
}
