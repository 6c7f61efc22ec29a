using System.Diagnostics;

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
                try
                {
                    await next(context);
                }
                finally
                {
                    var (time, status) = (Stopwatch.GetElapsedTime(start), EventStream.StatusOf(context));
                    var endpoint = (context.GetEndpoint() as RouteEndpoint)?.RoutePattern.RawText ?? "none";
                    metrics?.Answered(endpoint, status, time);
                    app.Logger.Answered(
                        Printable.Of(context.Request.Method),
                        Printable.Of(context.Request.Path),
                        status,
                        (long)time.TotalMilliseconds
                    );
                }
            }
        );
}
