using System.Runtime.CompilerServices;
using System.Threading.Channels;

namespace GlmTune.Server;

/// <summary>Sends an answer as server-sent events in the form of OpenAI's API: JSON objects, then
/// <c>[DONE]</c>.</summary>
/// <remarks>Events are produced at the speed of the model, independent of the reader. Unsent events are queued up to a
/// limit, beyond which the answer ends with an error.</remarks>
internal sealed class EventStream
{
    private readonly Channel<string> events = Channel.CreateUnbounded<string>();
    private readonly HttpContext context;
    private readonly Deadline deadline;
    private readonly long most;
    private long waiting;

    private EventStream(HttpContext context, Deadline deadline)
    {
        (this.context, this.deadline) = (context, deadline);
        most = context.RequestServices.GetRequiredService<ServerOptions>().Limits.UnsentCharacters;
    }

    /// <summary>Sends what a producer writes. A failure on the way is sent as an error event, without
    /// <c>[DONE]</c>.</summary>
    /// <param name="context">The request.</param>
    /// <param name="deadline">Cancels the producer.</param>
    /// <param name="produce">Writes events, possibly from several tasks.</param>
    public static IResult Of(HttpContext context, Deadline deadline, Func<EventStream, CancellationToken, Task> produce)
    {
        context.Response.Headers["X-Accel-Buffering"] = "no"; // Proxies must not buffer the events.
        return TypedResults.ServerSentEvents(
            new EventStream(context, deadline).EventsAsync(produce, context.RequestAborted)
        );
    }

    /// <summary>Queues an event.</summary>
    /// <exception cref="ApiException">Too many characters are waiting to be sent.</exception>
    public void Write(string text)
    {
        if (Interlocked.Add(ref waiting, text.Length) > most)
        {
            throw new ApiException(
                StatusCodes.Status408RequestTimeout,
                $"The client reads events too slowly: more than {most} characters are waiting to be sent.",
                code: "timeout"
            );
        }

        events.Writer.TryWrite(text);
    }

    /// <summary>Status of a request for the log and the metrics: that of a failure while streaming, otherwise the
    /// response's.</summary>
    public static int StatusOf(HttpContext context) =>
        context.Items[typeof(EventStream)] as int? ?? context.Response.StatusCode;

    private async IAsyncEnumerable<string> EventsAsync(
        Func<EventStream, CancellationToken, Task> produce,
        [EnumeratorCancellation] CancellationToken gone
    )
    {
        using var left = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token);
        var producer = ProduceAsync(produce, left.Token);
        try
        {
            await foreach (var text in events.Reader.ReadAllAsync(gone))
            {
                Interlocked.Add(ref waiting, -text.Length);
                yield return text;
            }
        }
        finally
        {
            await left.CancelAsync();
            await producer;
        }
    }

    private async Task ProduceAsync(Func<EventStream, CancellationToken, Task> produce, CancellationToken cancellation)
    {
        try
        {
            await produce(this, cancellation);
            events.Writer.TryWrite("[DONE]");
        }
        catch (OperationCanceledException) when (context.RequestAborted.IsCancellationRequested) { }
#pragma warning disable CA1031 // The status line has already been sent, so failures are reported in the stream.
        catch (Exception e)
#pragma warning restore CA1031
        {
            var (status, body) = ErrorResponses.Of(context, e);
            context.Items[typeof(EventStream)] = status;
            events.Writer.TryWrite(ApiJson.Text(body));
        }
        finally
        {
            events.Writer.TryComplete();
        }
    }
}
