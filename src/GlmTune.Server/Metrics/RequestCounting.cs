using System.Diagnostics;
using System.Globalization;

namespace GlmTune.Server;

/// <summary>Counts and logs each request when it ends.</summary>
internal static class RequestCounting
{
    public static void UseRequestCounting(this WebApplication app) =>
        app.Use(
            async (context, next) =>
            {
                // Resolved now, because a request may outlive the server's services.
                var (start, metrics) = (Stopwatch.GetTimestamp(), context.RequestServices.GetService<ServerMetrics>());
                var measured = metrics is null
                    ? null
                    : new MeasuredRequest(metrics, context.RequestServices.GetRequiredService<TimeProvider>());
                context.Features.Set(measured);
                try
                {
                    await next(context);
                }
                finally
                {
                    var (time, status) = (Stopwatch.GetElapsedTime(start), EventStream.StatusOf(context));
                    var endpoint = (context.GetEndpoint() as RouteEndpoint)?.RoutePattern.RawText ?? "none";
                    metrics?.Answered(endpoint, status, time);
                    measured?.End(
                        context.GetEndpoint()?.Metadata.GetMetadata<GenerationOperation>(),
                        status >= StatusCodes.Status400BadRequest ? status.ToString(CultureInfo.InvariantCulture)
                            : context.RequestAborted.IsCancellationRequested ? "canceled"
                            : null
                    );
                    app.Logger.Answered(
                        IsPolling(context, status) ? LogLevel.Debug : LogLevel.Information,
                        Printable.Of(context.Request.Method),
                        Printable.Of(context.Request.Path),
                        status,
                        (long)time.TotalMilliseconds
                    );
                }
            }
        );

    // Pages, probes and scrapers ask again every few seconds, which would fill the log.
    private static bool IsPolling(HttpContext context, int status) =>
        status < StatusCodes.Status400BadRequest
        && context.Request.Method is "GET" or "HEAD"
        && !context.Request.Path.StartsWithSegments("/v1", StringComparison.Ordinal);
}
