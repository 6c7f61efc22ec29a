using System.Diagnostics;

namespace GlmTune.Server;

/// <summary>Counts and logs each request when it ends.</summary>
internal static class RequestCounting
{
    public static void UseRequestCounting(this WebApplication app) =>
        app.Use(
            async (context, next) =>
            {
                var start = Stopwatch.GetTimestamp();
                try
                {
                    await next(context);
                }
                finally
                {
                    var (time, status) = (Stopwatch.GetElapsedTime(start), EventStream.StatusOf(context));
                    var endpoint = (context.GetEndpoint() as RouteEndpoint)?.RoutePattern.RawText ?? "none";
                    context.RequestServices.GetService<ServerMetrics>()?.Answered(endpoint, status, time);
                    app.Logger.Answered(
                        Shown.Of(context.Request.Method),
                        Shown.Of(context.Request.Path),
                        status,
                        (long)time.TotalMilliseconds
                    );
                }
            }
        );
}
