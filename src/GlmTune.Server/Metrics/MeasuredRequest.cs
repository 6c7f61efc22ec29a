using System.Diagnostics;
using Microsoft.AspNetCore.Http.Features;

namespace GlmTune.Server;

/// <summary>What an endpoint does, in the terms of OpenTelemetry's conventions for generative AI; metadata of endpoints
/// that generate text.</summary>
/// <param name="Name">The name of the operation, such as <c>chat</c>.</param>
internal sealed record GenerationOperation(string Name);

/// <summary>One request, from its arrival on: times of its answers and of itself. Thread-safe.</summary>
/// <param name="metrics">Receives the times.</param>
/// <param name="time">The clock.</param>
internal sealed class MeasuredRequest(ServerMetrics metrics, TimeProvider time)
{
    private readonly long arrival = time.GetTimestamp();
    private TagList tags;
    private int begun;

    /// <summary>The request that a context belongs to.</summary>
    public static MeasuredRequest Of(HttpContext context) => context.Features.GetRequiredFeature<MeasuredRequest>();

    /// <summary>Time since the request arrived.</summary>
    public TimeSpan Elapsed => time.GetElapsedTime(arrival);

    /// <summary>Names what is measured, as soon as it is known.</summary>
    /// <param name="operation">The operation of the endpoint.</param>
    /// <param name="model">The model that answers.</param>
    public void Name(GenerationOperation operation, string model) =>
        tags = [
            new("gen_ai.operation.name", operation.Name),
            new("gen_ai.provider.name", ServerMetrics.Provider),
            new("gen_ai.request.model", model),
            new("gen_ai.response.model", model),
        ];

    /// <summary>An answer that has just entered the batch.</summary>
    public MeasuredAnswer NewAnswer() => new(this, metrics, time);

    /// <summary>Counts the request when it ends.</summary>
    /// <param name="operation">The operation of its endpoint; null: it generates no text.</param>
    /// <param name="error">Why it failed: a status, or <c>canceled</c>; null: it did not.</param>
    public void End(GenerationOperation? operation, string? error)
    {
        if (operation is null)
        {
            return;
        }

        // Requests that fail early name no model, or one that does not exist.
        var all = tags;
        if (all.Count == 0)
        {
            all.Add("gen_ai.operation.name", operation.Name);
            all.Add("gen_ai.provider.name", ServerMetrics.Provider);
        }

        if (error is not null)
        {
            all.Add("error.type", error);
        }

        metrics.Generated(Elapsed, all);
    }

    /// <summary>Records the first token of all answers.</summary>
    internal void Begin()
    {
        if (Interlocked.Exchange(ref begun, 1) == 0)
        {
            metrics.FirstOfRequest(Elapsed, tags);
        }
    }

    /// <summary>Records the mean time between the tokens of an answer.</summary>
    internal void Answered(TimeSpan perToken) => metrics.PerToken(perToken, tags);
}

/// <summary>The times of one answer. Not thread-safe.</summary>
internal sealed class MeasuredAnswer(MeasuredRequest request, ServerMetrics metrics, TimeProvider time)
{
    private readonly long entry = time.GetTimestamp();
    private long? first;

    /// <summary>Call for every token.</summary>
    public void Token()
    {
        if (first is null)
        {
            first = time.GetTimestamp();
            metrics.FirstToken(time.GetElapsedTime(entry, first.Value));
            request.Begin();
        }
    }

    /// <summary>Call when the answer is complete.</summary>
    /// <param name="prompt">Tokens of its prompt; 0 if another answer counts them.</param>
    /// <param name="cached">How many of these were in the cache.</param>
    /// <param name="completion">Tokens of the answer.</param>
    public void End(int prompt, int cached, int completion)
    {
        metrics.Tokens(prompt, cached, completion);
        if (first is { } begun && completion > 1)
        {
            request.Answered(time.GetElapsedTime(begun) / (completion - 1));
        }
    }
}
