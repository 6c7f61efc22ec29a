using System.Runtime.CompilerServices;
using System.Threading.Channels;

namespace GlmTune.Server;

/// <summary>An answer as server-sent events, as OpenAI's service sends them: JSON after JSON, then
/// <c>[DONE]</c>.</summary>
/// <remarks>Events are made as fast as the model writes, whoever reads them: those that are not sent yet wait, up to a
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

    /// <summary>Sends what a producer writes; a failure on the way is sent as an error event, without
    /// <c>[DONE]</c>.</summary>
    /// <param name="context">The request.</param>
    /// <param name="deadline">Ends the producer.</param>
    /// <param name="produce">Writes events, from several tasks if it likes.</param>
    public static IResult Of(HttpContext context, Deadline deadline, Func<EventStream, CancellationToken, Task> produce)
    {
        context.Response.Headers["X-Accel-Buffering"] = "no"; // Proxies that collect answers must not.
        return TypedResults.ServerSentEvents(
            new EventStream(context, deadline).EventsAsync(produce, context.RequestAborted)
        );
    }

    /// <summary>Adds an event.</summary>
    /// <exception cref="ApiException">Too much waits to be sent.</exception>
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

    /// <summary>The status of a request for the log and the counters: what went wrong while events were sent, else the
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
#pragma warning disable CA1031 // The status is sent already, so that whatever happens is told in the stream.
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
