namespace GlmTune.Server;

/// <summary><c>/health</c>: whether the server accepts requests.</summary>
internal static class HealthEndpoint
{
    public static void MapHealth(this IEndpointRouteBuilder app) =>
        app.MapMethods(
                "/health",
                ["GET", "HEAD"],
                (IHostApplicationLifetime lifetime) =>
                    lifetime.ApplicationStopping.IsCancellationRequested
                        ? ApiJson.Result(new Health("stopping"), StatusCodes.Status503ServiceUnavailable)
                        : ApiJson.Result(new Health("ok"))
            )
            .AllowWithoutKey()
            .Produces<Health>()
            .WithSummary("200 while requests are accepted, 503 while the server shuts down.");

    private sealed record Health(string Status);
}
