using System.Runtime.CompilerServices;
using System.Threading.Channels;

namespace GlmTune.Server;

/// <summary>An answer as server-sent events, as OpenAI's service sends them: JSON after JSON, then
/// <c>[DONE]</c>.</summary>
internal static class EventStream
{
    /// <summary>Sends what a producer writes; a failure on the way is sent as an error event, without
    /// <c>[DONE]</c>.</summary>
    /// <param name="context">The request.</param>
    /// <param name="deadline">Ends the producer.</param>
    /// <param name="produce">Writes events, from several tasks if it likes.</param>
    public static IResult Of(
        HttpContext context,
        Deadline deadline,
        Func<ChannelWriter<string>, CancellationToken, Task> produce
    )
    {
        context.Response.Headers["X-Accel-Buffering"] = "no"; // Proxies that collect answers must not.
        return TypedResults.ServerSentEvents(EventsAsync(context, deadline, produce, context.RequestAborted));
    }

    private static async IAsyncEnumerable<string> EventsAsync(
        HttpContext context,
        Deadline deadline,
        Func<ChannelWriter<string>, CancellationToken, Task> produce,
        [EnumeratorCancellation] CancellationToken gone
    )
    {
        var events = Channel.CreateUnbounded<string>();
        using var left = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token);
        var producer = ProduceAsync(context, deadline, events.Writer, produce, left.Token);
        try
        {
            await foreach (var text in events.Reader.ReadAllAsync(gone))
            {
                yield return text;
            }
        }
        finally
        {
            await left.CancelAsync();
            await producer;
        }
    }

    private static async Task ProduceAsync(
        HttpContext context,
        Deadline deadline,
        ChannelWriter<string> events,
        Func<ChannelWriter<string>, CancellationToken, Task> produce,
        CancellationToken cancellation
    )
    {
        try
        {
            await produce(events, cancellation);
            events.TryWrite("[DONE]");
        }
        catch (OperationCanceledException) when (context.RequestAborted.IsCancellationRequested) { }
#pragma warning disable CA1031 // The status is sent already, so that whatever happens is told in the stream.
        catch (Exception e)
#pragma warning restore CA1031
        {
            var (status, body) = ErrorResponses.Of(context, deadline.IsOver ? deadline.TooLate() : e);
            context.Items[typeof(EventStream)] = status;
            events.TryWrite(ApiJson.Text(body));
        }
        finally
        {
            events.TryComplete();
        }
    }

    /// <summary>The status of a request for the log and the counters: what went wrong while events were sent, else the
    /// response's.</summary>
    public static int StatusOf(HttpContext context) =>
        context.Items[typeof(EventStream)] as int? ?? context.Response.StatusCode;
}
