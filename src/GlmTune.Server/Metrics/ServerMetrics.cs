using System.Diagnostics;
using System.Diagnostics.Metrics;
using GlmTune.Inference;

namespace GlmTune.Server;

/// <summary>The metrics of <c>/metrics</c>: counts of tokens and requests, times, and batch occupancy.</summary>
/// <remarks>Times of requests for generated text have the names, attributes and buckets of OpenTelemetry's semantic
/// conventions for generative AI.</remarks>
internal sealed class ServerMetrics
{
    /// <summary>Name of the meter.</summary>
    public const string MeterName = "GlmTune.Server";

    /// <summary>What generates the text, by the conventions' attribute.</summary>
    public const string Provider = "glmtune";

    // The buckets that the conventions give.
    private static readonly double[] RequestSeconds =
    [
        0.01,
        0.02,
        0.04,
        0.08,
        0.16,
        0.32,
        0.64,
        1.28,
        2.56,
        5.12,
        10.24,
        20.48,
        40.96,
        81.92,
    ];
    private static readonly double[] FirstTokenSeconds =
    [
        0.001,
        0.005,
        0.01,
        0.02,
        0.04,
        0.06,
        0.08,
        0.1,
        0.25,
        0.5,
        0.75,
        1.0,
        2.5,
        5.0,
        7.5,
        10.0,
    ];
    private static readonly double[] TokenSeconds =
    [
        0.01,
        0.025,
        0.05,
        0.075,
        0.1,
        0.15,
        0.2,
        0.3,
        0.4,
        0.5,
        0.75,
        1.0,
        2.5,
    ];
    private static readonly double[] Seconds =
    [
        0.01,
        0.025,
        0.05,
        0.1,
        0.25,
        0.5,
        1,
        2.5,
        5,
        10,
        30,
        60,
        120,
        300,
        600,
    ];
    private readonly Counter<long> requests;
    private readonly Counter<long> tokens;
    private readonly Histogram<double> waited;
    private readonly Histogram<double> firstToken;
    private readonly Histogram<double> duration;
    private readonly Histogram<double> generationDuration;
    private readonly Histogram<double> generationFirstToken;
    private readonly Histogram<double> generationPerToken;

    public ServerMetrics(IMeterFactory meters, RequestQueue queue, ServedModels models)
    {
        var meter = meters.Create(MeterName);
        requests = meter.CreateCounter<long>("glmtune.requests", "{request}", "Requests, by endpoint and status.");
        tokens = meter.CreateCounter<long>(
            "glmtune.tokens",
            "{token}",
            "Tokens, by kind: prompt, cached (prompt tokens found in the cache), completion."
        );
        var buckets = new InstrumentAdvice<double> { HistogramBucketBoundaries = Seconds };
        waited = meter.CreateHistogram(
            "glmtune.queue.time",
            "s",
            "Time that requests waited for a slot, without the preparation of their prompts.",
            advice: buckets
        );
        firstToken = meter.CreateHistogram(
            "glmtune.first_token.time",
            "s",
            "Time from a request's entry into the batch to its first token.",
            advice: buckets
        );
        duration = meter.CreateHistogram(
            "glmtune.request.time",
            "s",
            "Time from a request's arrival to the end of its answer.",
            advice: buckets
        );
        meter.CreateObservableGauge(
            "glmtune.answers.running",
            () => queue.Running,
            "{answer}",
            "Answers being generated."
        );
        meter.CreateObservableGauge(
            "glmtune.requests.waiting",
            () => queue.Waiting,
            "{request}",
            "Requests waiting for a slot."
        );
        meter.CreateObservableGauge(
            "glmtune.requests.preparing",
            () => queue.Preparing,
            "{request}",
            "Waiting requests whose prompts are being tokenized or whose schemas are being compiled."
        );
        generationDuration = meter.CreateHistogram(
            "gen_ai.server.request.duration",
            "s",
            "Generative AI server request duration such as time-to-last byte or last output token.",
            advice: new InstrumentAdvice<double> { HistogramBucketBoundaries = RequestSeconds }
        );
        generationFirstToken = meter.CreateHistogram(
            "gen_ai.server.time_to_first_token",
            "s",
            "Time to generate first token for successful responses, from the request's arrival.",
            advice: new InstrumentAdvice<double> { HistogramBucketBoundaries = FirstTokenSeconds }
        );
        generationPerToken = meter.CreateHistogram(
            "gen_ai.server.time_per_output_token",
            "s",
            "Time per output token generated after the first token for successful responses.",
            advice: new InstrumentAdvice<double> { HistogramBucketBoundaries = TokenSeconds }
        );
        ObserveBatches(meter, models);
    }

    public void Waited(TimeSpan time) => waited.Record(time.TotalSeconds);

    public void FirstToken(TimeSpan time) => firstToken.Record(time.TotalSeconds);

    /// <summary>Records the end of a request for generated text.</summary>
    public void Generated(TimeSpan time, in TagList tags) => generationDuration.Record(time.TotalSeconds, tags);

    /// <summary>Records the time from a request's arrival to its first token.</summary>
    public void FirstOfRequest(TimeSpan time, in TagList tags) => generationFirstToken.Record(time.TotalSeconds, tags);

    /// <summary>Records the mean time of an answer's tokens after the first.</summary>
    public void PerToken(TimeSpan time, in TagList tags) => generationPerToken.Record(time.TotalSeconds, tags);

    public void Answered(string endpoint, int status, TimeSpan time)
    {
        requests.Add(1, new("endpoint", endpoint), new("status", status));
        duration.Record(time.TotalSeconds, new KeyValuePair<string, object?>("endpoint", endpoint));
    }

    public void Tokens(int prompt, int cached, int completion)
    {
        tokens.Add(prompt, new KeyValuePair<string, object?>("kind", "prompt"));
        tokens.Add(cached, new KeyValuePair<string, object?>("kind", "cached"));
        tokens.Add(completion, new KeyValuePair<string, object?>("kind", "completion"));
    }

    // One batch serves a model with all its adapters.
    private static void ObserveBatches(Meter meter, ServedModels models)
    {
        (KeyValuePair<string, object?> Model, GenerationCounts Counts)[] batches =
        [
            .. models
                .All.DistinctBy(model => model.Chat.Scheduler)
                .Select(model => (new KeyValuePair<string, object?>("model", model.Id), model.Chat.Scheduler.Counts)),
        ];
        meter.CreateObservableGauge(
            "glmtune.cache.blocks",
            () => batches.SelectMany(batch => Blocks(batch.Model, batch.Counts)),
            "{block}",
            "Blocks of the KV cache, by state: used, kept (of finished answers, until the memory is needed), free."
        );
        Count(
            "glmtune.prefix_cache.queries",
            "{token}",
            "Tokens of prompts that were looked up in the KV cache.",
            counts => counts.PromptTokens
        );
        Count(
            "glmtune.prefix_cache.hits",
            "{token}",
            "Tokens of prompts that were found in the KV cache.",
            counts => counts.FoundTokens
        );
        Count(
            "glmtune.preemptions",
            "{preemption}",
            "How often an answer had to wait because the KV cache was full.",
            counts => counts.Preemptions
        );

        void Count(string name, string unit, string description, Func<GenerationCounts, long> read) =>
            meter.CreateObservableCounter(
                name,
                () => batches.Select(batch => new Measurement<long>(read(batch.Counts), batch.Model)),
                unit,
                description
            );

        static IEnumerable<Measurement<int>> Blocks(KeyValuePair<string, object?> model, GenerationCounts counts) =>
            [
                new(counts.UsedBlocks, model, new("state", "used")),
                new(counts.KeptBlocks, model, new("state", "kept")),
                new(counts.FreeBlocks, model, new("state", "free")),
            ];
    }
}
