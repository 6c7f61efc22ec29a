namespace GlmTune.Server;

/// <summary>What a request has got when its answers may begin.</summary>
/// <param name="Prepared">What was prepared.</param>
/// <param name="Places">The places of its answers.</param>
/// <param name="Deadline">What cancels the answers.</param>
internal sealed record Admitted<T>(T Prepared, AnswerPlaces Places, Deadline Deadline)
{
    /// <summary>Makes the answers, within the time that the request has.</summary>
    /// <inheritdoc cref="AnswerPlaces.MakeAsync"/>
    /// <exception cref="ApiException">504: the time was over first. 503: the server is shutting down.</exception>
    public async Task<TAnswer[]> MakeAsync<TAnswer>(
        Func<int, int, CancellationToken, IEnumerable<Task<TAnswer>>> start,
        CancellationToken cancellation
    )
    {
        try
        {
            return await Places.MakeAsync(start, cancellation);
        }
        catch (OperationCanceledException) when (Deadline.Reason is { } reason)
        {
            throw reason;
        }
    }
}

/// <summary>A request's way from its arrival to its answers: it is counted, its prompt is prepared, and it waits for
/// places.</summary>
internal sealed class Admission(RequestQueue queue, ServerMetrics metrics, TimeProvider time)
{
    /// <summary>Prepares a request, and waits for places.</summary>
    /// <param name="context">The request.</param>
    /// <param name="answers">How many answers it wants.</param>
    /// <param name="prepare">The work before the answer that takes long: done after the request was counted, a few
    /// requests at a time. The memory of the request's body is given back when it is done.</param>
    /// <exception cref="ApiException">429, 503, or 504 where the time was over before there was a place; what
    /// <paramref name="prepare"/> throws.</exception>
    public async Task<Admitted<T>> EnterAsync<T>(HttpContext context, int answers, Func<T> prepare)
    {
        var deadline = Deadline.Of(context);
        using var visit = queue.Arrive(ApiKeyGuard.ClientOf(context), answers);
        context.Response.RegisterForDispose(new ClientWatch(context, time));
        try
        {
            var (start, work) = (time.GetTimestamp(), TimeSpan.Zero);
            var prepared = await visit.PrepareAsync(
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
            var places = await visit.EnterAsync(deadline.Token);
            context.Response.RegisterForDispose(places);
            metrics.Waited(time.GetElapsedTime(start) - work);
            return new Admitted<T>(prepared, places, deadline);
        }
        catch (OperationCanceledException) when (deadline.Reason is { } reason)
        {
            throw reason;
        }
    }
}
