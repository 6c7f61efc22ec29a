namespace GlmTune.Server;

/// <summary>A request whose answers may start.</summary>
/// <param name="Prepared">The result of the preparation.</param>
/// <param name="Permits">The permits for its answers.</param>
/// <param name="Deadline">Cancels the answers.</param>
internal sealed record Admitted<T>(T Prepared, AnswerPermits Permits, Deadline Deadline)
{
    /// <summary>Generates the answers within the request's time limit.</summary>
    /// <inheritdoc cref="AnswerPermits.MakeAsync"/>
    /// <exception cref="ApiException">504: the time limit was reached. 503: the server is shutting down.</exception>
    public async Task<TAnswer[]> MakeAsync<TAnswer>(
        Func<int, int, CancellationToken, IEnumerable<Task<TAnswer>>> start,
        CancellationToken cancellation
    )
    {
        try
        {
            return await Permits.MakeAsync(start, cancellation);
        }
        catch (OperationCanceledException) when (Deadline.Reason is { } reason)
        {
            throw reason;
        }
    }
}

/// <summary>Takes a request from arrival to answers: counts it, prepares its prompt, and waits for permits.</summary>
internal sealed class Admission(RequestQueue queue, ServerMetrics metrics, TimeProvider time)
{
    /// <summary>Prepares a request, and waits for permits.</summary>
    /// <param name="context">The request.</param>
    /// <param name="answers">Number of answers requested.</param>
    /// <param name="prepare">Expensive work before the answers, run after the request has been counted, for a few
    /// requests at a time. Memory of the request's body is released afterwards.</param>
    /// <exception cref="ApiException">429; 503; 504 if the time limit was reached before a permit was free; or whatever
    /// <paramref name="prepare"/> throws.</exception>
    public async Task<Admitted<T>> EnterAsync<T>(HttpContext context, int answers, Func<T> prepare)
    {
        var deadline = Deadline.Of(context);
        using var queued = queue.Arrive(ApiKeyGuard.ClientOf(context), answers);
        context.Response.RegisterForDispose(new ClientWatch(context, time));
        try
        {
            var (start, work) = (time.GetTimestamp(), TimeSpan.Zero);
            var prepared = await queued.PrepareAsync(
                () =>
                {
                    var begun = time.GetTimestamp();
                    var done = prepare();
                    RequestBody.Forget(context);
                    work = time.GetElapsedTime(begun);
                    return done;
                },
                deadline.Token
            );
            var permits = await queued.EnterAsync(deadline.Token);
            context.Response.RegisterForDispose(permits);
            metrics.Waited(time.GetElapsedTime(start) - work);
            return new Admitted<T>(prepared, permits, deadline);
        }
        catch (OperationCanceledException) when (deadline.Reason is { } reason)
        {
            throw reason;
        }
    }
}
