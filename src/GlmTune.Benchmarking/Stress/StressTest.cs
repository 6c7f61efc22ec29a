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

    /// <summary>Time from one token of an answer to its next, over all answers.</summary>
    public required StressSpread BetweenTokensSeconds { get; init; }

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
        IReadOnlyList<IReadOnlyList<int>> settings = options.Mixed
            ? [options.PromptTokens]
            : [.. options.PromptTokens.Select(length => (int[])[length])];
        foreach (var lengths in settings)
        {
            var length = lengths.Max();
            try
            {
                await target
                    .AskAsync(
                        new StressRequest(length, Math.Min(options.MaxNewTokens, 16), new Random(options.Seed)),
                        stop
                    )
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
                var result = await MeasureAsync(target, options, lengths, concurrency, stop).ConfigureAwait(false);
                results.Add(result);
                onResult?.Invoke(result);
            }
        }

        return results;
    }

    private static async Task<StressResult> MeasureAsync(
        IStressTarget target,
        StressOptions options,
        IReadOnlyList<int> lengths,
        int concurrency,
        CancellationToken stop
    )
    {
        var length = lengths.Max();
        var clock = Stopwatch.StartNew();
        var askers = options.Rate is { } rate
            ? Arrivals(rate, concurrency * options.Rounds, options.Seed).Select(AskAtAsync)
            : Enumerable.Range(0, concurrency).Select(asker => Task.Run(() => AskAllAsync(asker), stop));
        var outcomes = (await Task.WhenAll(askers).ConfigureAwait(false)).SelectMany(list => list).ToList();
        var seconds = clock.Elapsed.TotalSeconds;
        var answers = outcomes.Select(outcome => outcome.Answer).OfType<StressAnswer>().ToList();
        return new StressResult(
            (int)lengths.Average(),
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
            BetweenTokensSeconds = StressSpread.Of(answers.SelectMany(answer => answer.Gaps)),
            Error = outcomes.Select(outcome => outcome.Error).FirstOrDefault(error => error is not null),
        };

        async Task<List<(StressAnswer? Answer, string? Error)>> AskAllAsync(int asker)
        {
            var list = new List<(StressAnswer?, string?)>();
            for (var round = 0; round < options.Rounds; round++)
            {
                list.Add(await AskAsync(asker, round).ConfigureAwait(false));
            }

            return list;
        }

        async Task<List<(StressAnswer? Answer, string? Error)>> AskAtAsync(TimeSpan time, int index)
        {
            var wait = time - clock.Elapsed;
            await Task.Delay(wait > TimeSpan.Zero ? wait : TimeSpan.Zero, stop).ConfigureAwait(false);
            return [await AskAsync(index / options.Rounds, index % options.Rounds).ConfigureAwait(false)];
        }

        async Task<(StressAnswer? Answer, string? Error)> AskAsync(int asker, int round)
        {
            // Every request has a different prompt, and the prompts are the same in every run.
            var random = new Random(HashCodeOf(options.Seed, length, concurrency, asker, round));
            var tokens = lengths.Count == 1 ? length : lengths[random.Next(lengths.Count)];
            var request = new StressRequest(tokens, options.MaxNewTokens, random)
            {
                SharedTokens = options.SharedTokens,
                Adapter =
                    options.Adapters.Count == 0
                        ? null
                        : options.Adapters[((asker * options.Rounds) + round) % options.Adapters.Count],
            };
            try
            {
                return (await target.AskAsync(request, stop).ConfigureAwait(false), null);
            }
            catch (Exception e) when (!stop.IsCancellationRequested)
            {
                return (null, e.Message);
            }
        }
    }

    /// <summary>Times of requests that come at random: their distances are exponentially distributed.</summary>
    /// <param name="rate">Mean requests per second.</param>
    /// <param name="count">Number of requests.</param>
    /// <param name="seed">Determines the times.</param>
    internal static List<TimeSpan> Arrivals(double rate, int count, int seed)
    {
        var (random, seconds, times) = (new Random(seed), 0.0, new List<TimeSpan>());
        while (times.Count < count)
        {
            seconds -= Math.Log(1 - random.NextDouble()) / rate;
            times.Add(TimeSpan.FromSeconds(seconds));
        }

        return times;
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
