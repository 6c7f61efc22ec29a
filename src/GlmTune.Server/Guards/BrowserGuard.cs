namespace GlmTune.Server;

/// <summary>Prevents web pages of other sites from using the server through their visitors' browsers.</summary>
/// <remarks>On loopback, the Host header must be a name of this machine; otherwise a site could point its own name to
/// 127.0.0.1 (DNS rebinding) and read answers as if they were its own. On any address, a request with an Origin header
/// must come from the server's own pages or from an allowed origin. Bodies must be declared as JSON
/// (<see cref="RequestBody"/>), which forms of other sites cannot do.</remarks>
internal static class BrowserGuard
{
    private static readonly string[] LoopbackNames = ["localhost", "127.0.0.1", "[::1]"];

    public static void UseBrowserGuard(this WebApplication app, ServerOptions options)
    {
        var isLoopback = ServerApp.IsLoopback(options.Host);
        var hosts = LoopbackNames
            .Append(options.Host)
            .Concat(options.AllowedHosts)
            .ToHashSet(StringComparer.OrdinalIgnoreCase);
        var origins = options.CorsOrigins.ToHashSet(StringComparer.OrdinalIgnoreCase);
        app.Use(
            async (context, next) =>
            {
                context.Response.OnStarting(() =>
                {
                    context.Response.Headers.XContentTypeOptions = "nosniff";
                    return Task.CompletedTask;
                });
                var request = context.Request;
                if (isLoopback && !hosts.Contains(request.Host.Host))
                {
                    throw new ApiException(
                        StatusCodes.Status403Forbidden,
                        $"The Host header '{Printable.Of(request.Host.Value ?? "")}' is not a name of this machine.",
                        code: "host_not_allowed"
                    );
                }

                if (
                    request.Headers.Origin is [{ } origin, ..]
                    && !origins.Contains("*")
                    && !origins.Contains(origin)
                    && !IsOwn(origin, request.Host)
                )
                {
                    throw new ApiException(
                        StatusCodes.Status403Forbidden,
                        $"Pages of '{Printable.Of(origin)}' are not allowed to call this server.",
                        code: "origin_not_allowed"
                    );
                }

                await next(context);
            }
        );
    }

    // The scheme is ignored, because a proxy in front of the server may use HTTPS.
    private static bool IsOwn(string origin, HostString host) =>
        Uri.TryCreate(origin, UriKind.Absolute, out var uri)
        && string.Equals(uri.Authority, host.Value, StringComparison.OrdinalIgnoreCase);
}
