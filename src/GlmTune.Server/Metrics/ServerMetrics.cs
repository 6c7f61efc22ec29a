using System.Diagnostics.Metrics;

namespace GlmTune.Server;

/// <summary>The metrics of <c>/metrics</c>: counts of tokens and requests, times, and batch occupancy.</summary>
internal sealed class ServerMetrics
{
    /// <summary>Name of the meter.</summary>
    public const string MeterName = "GlmTune.Server";

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

    public ServerMetrics(IMeterFactory meters, RequestQueue queue)
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
    }

    public void Waited(TimeSpan time) => waited.Record(time.TotalSeconds);

    public void FirstToken(TimeSpan time) => firstToken.Record(time.TotalSeconds);

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
}
