using System.Diagnostics;

namespace GlmTune.Server;

/// <summary>A request's way from its arrival to its end: it is counted, its prompt is prepared, it waits for a place,
/// has so long, and gives the place back.</summary>
internal sealed class Admission(RequestQueue queue, ServerOptions options, ServerMetrics metrics)
{
    /// <summary>Prepares a request, and waits for places, which the end of the request gives back.</summary>
    /// <param name="context">The request.</param>
    /// <param name="answers">How many answers it wants.</param>
    /// <param name="prepare">The work before the answer that takes long: done after the request was counted, a few
    /// requests at a time.</param>
    /// <returns>What was prepared, and what cancels the answers: the client has gone, or the time is over.</returns>
    /// <exception cref="ApiException">429, 503, or 504 where the time was over before there was a place; what
    /// <paramref name="prepare"/> throws.</exception>
    public async Task<(T Prepared, Deadline Deadline)> EnterAsync<T>(HttpContext context, int answers, Func<T> prepare)
    {
        var deadline = Deadline.Of(context, options.Limits);
        using var visit = queue.Arrive(ApiKeyGuard.ClientOf(context), answers);
        try
        {
            var (start, work) = (Stopwatch.GetTimestamp(), TimeSpan.Zero);
            var prepared = await visit.PrepareAsync(
                () =>
                {
                    var begun = Stopwatch.GetTimestamp();
                    var done = prepare();
                    work = Stopwatch.GetElapsedTime(begun);
                    return done;
                },
                deadline.Token
            );
            context.Response.RegisterForDispose(await visit.EnterAsync(deadline.Token));
            metrics.Waited(Stopwatch.GetElapsedTime(start) - work);
            return (prepared, deadline);
        }
        catch (OperationCanceledException) when (deadline.IsOver)
        {
            throw deadline.TooLate();
        }
    }
}

/// <summary>How long a request may take.</summary>
internal sealed class Deadline : IDisposable
{
    private readonly CancellationTokenSource timer;
    private readonly CancellationTokenSource linked;
    private readonly TimeSpan time;

    private Deadline(TimeSpan time, CancellationToken clientGone)
    {
        this.time = time;
        timer = new CancellationTokenSource(time);
        linked = CancellationTokenSource.CreateLinkedTokenSource(timer.Token, clientGone);
    }

    /// <summary>A request's deadline, which begins when it is first asked for: when its body is read.</summary>
    public static Deadline Of(HttpContext context, ServerLimits limits)
    {
        if (context.Items.TryGetValue(typeof(Deadline), out var known))
        {
            return (Deadline)known!;
        }

        var deadline = new Deadline(limits.RequestTime, context.RequestAborted);
        context.Response.RegisterForDispose(deadline);
        context.Items.Add(typeof(Deadline), deadline);
        return deadline;
    }

    /// <summary>Cancelled when the time is over or the client has gone.</summary>
    public CancellationToken Token => linked.Token;

    /// <summary>Whether the time is over.</summary>
    public bool IsOver => timer.IsCancellationRequested;

    /// <summary>The error that says so.</summary>
    public ApiException TooLate() =>
        new(
            StatusCodes.Status504GatewayTimeout,
            $"The request took longer than {time.TotalSeconds:0} s, waiting included.",
            code: "timeout"
        );

    /// <summary>What a task gives.</summary>
    /// <exception cref="ApiException">504: the time was over first.</exception>
    public async Task<T> WithinAsync<T>(Task<T> task)
    {
        try
        {
            return await task;
        }
        catch (OperationCanceledException) when (IsOver)
        {
            throw TooLate();
        }
    }

    public void Dispose()
    {
        linked.Dispose();
        timer.Dispose();
    }
}
