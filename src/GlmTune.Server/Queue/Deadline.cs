namespace GlmTune.Server;

/// <summary>The time limit of a request, including its response.</summary>
/// <remarks>When it is reached, running answers are cancelled, and the client is informed. A client that has not read
/// this within a few seconds is disconnected, so that slow reading does not prolong a connection.</remarks>
internal sealed class Deadline : IDisposable
{
    /// <summary>Time for the client to read the final message.</summary>
    public static readonly TimeSpan Grace = TimeSpan.FromSeconds(5);

    private readonly CancellationTokenSource timer;
    private readonly CancellationTokenSource linked;
    private readonly CancellationToken stopping;
    private readonly ConnectionAbort abort;
    private readonly ITimer cut;
    private readonly TimeSpan allowed;

    private Deadline(HttpContext context, ServerOptions options, CancellationToken stopping)
    {
        (allowed, this.stopping) = (options.Limits.RequestTime, stopping);
        timer = new CancellationTokenSource(allowed, options.Time);
        linked = CancellationTokenSource.CreateLinkedTokenSource(timer.Token, context.RequestAborted, stopping);
        abort = new ConnectionAbort(context);
        cut = options.Time.CreateTimer(_ => abort.Now(), null, allowed + Grace, Timeout.InfiniteTimeSpan);
    }

    /// <summary>The deadline of a request; it starts at the first access, when the body is read.</summary>
    public static Deadline Of(HttpContext context)
    {
        if (context.Items.TryGetValue(typeof(Deadline), out var known))
        {
            return (Deadline)known!;
        }

        var services = context.RequestServices;
        var deadline = new Deadline(
            context,
            services.GetRequiredService<ServerOptions>(),
            services.GetService<StopTime>()?.IsOver ?? CancellationToken.None
        );
        context.Response.RegisterForDispose(deadline);
        context.Items.Add(typeof(Deadline), deadline);
        return deadline;
    }

    /// <summary>Cancelled when the time limit is reached, the client has gone, or the server must end.</summary>
    public CancellationToken Token => linked.Token;

    /// <summary>Whether the time limit has been reached.</summary>
    public bool IsOver => timer.IsCancellationRequested;

    /// <summary>Why <see cref="Token"/> was cancelled, as an error for the client; null if it was not, or if the client
    /// has gone.</summary>
    public ApiException? Reason =>
        IsOver
            ? new(
                StatusCodes.Status504GatewayTimeout,
                $"The request took longer than {allowed.TotalSeconds:0} s, including time in the queue.",
                code: "timeout"
            )
        : stopping.IsCancellationRequested
            ? new(
                StatusCodes.Status503ServiceUnavailable,
                "The server is shutting down; the answer is incomplete.",
                code: "server_stopping"
            )
        : null;

    public void Dispose()
    {
        abort.Forget();
        cut.Dispose();
        linked.Dispose();
        timer.Dispose();
    }
}

/// <summary>When running answers are ended after the server was asked to stop.</summary>
internal sealed class StopTime : IDisposable
{
    private readonly CancellationTokenSource over;

    public StopTime(IHostApplicationLifetime lifetime, ServerOptions options)
    {
        over = new CancellationTokenSource();
        lifetime.ApplicationStopping.Register(() => over.CancelAfter(options.StopTime));
    }

    /// <summary>Cancelled when the time for running answers is over.</summary>
    public CancellationToken IsOver => over.Token;

    public void Dispose() => over.Dispose();
}
