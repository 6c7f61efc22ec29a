namespace GlmTune.Server;

/// <summary>Suggests what was meant by an unknown path; usually the client's base URL is wrong.</summary>
internal static class WrongAddress
{
    /// <summary>A sentence with a leading space; empty if there is nothing to suggest.</summary>
    public static string HintFor(HttpContext context)
    {
        if (context.RequestServices.GetService<ServedModels>() is null)
        {
            return ""; // This server has no models.
        }

        var request = context.Request;
        var address = $"{request.Scheme}://{Printable.Of(request.Host.Value ?? "")}/v1";
        var parts = (request.Path.Value ?? "").Split('/', StringSplitOptions.RemoveEmptyEntries);
        var meant = Endpoints(context).FirstOrDefault(path => EndsLike(parts, path));
        var below = parts is ["v1", ..] ? parts[1..] : parts;
        return meant is not null ? $" Did you mean {meant}? The base URL for clients is {address}."
            : below.Length == 0
                ? $" This is the base URL for clients; chat completions are at {address}/chat/completions."
            : parts is ["v1", ..] ? $" Supported OpenAI endpoints: {string.Join(", ", Endpoints(context))}."
            : "";
    }

    private static IEnumerable<string> Endpoints(HttpContext context) =>
        context
            .RequestServices.GetRequiredService<EndpointDataSource>()
            .Endpoints.OfType<RouteEndpoint>()
            .Select(endpoint => $"/{endpoint.RoutePattern.RawText?.TrimStart('/')}")
            .Where(path =>
                path.StartsWith("/v1/", StringComparison.Ordinal) && !path.Contains('{', StringComparison.Ordinal)
            )
            // Longest first, because /v1/chat/completions also ends like /v1/completions.
            .OrderByDescending(path => path.Length);

    // Whether the path ends with the parts of an endpoint: /chat/completions, /v1/v1/chat/completions,
    // /openai/v1/chat/completions/.
    private static bool EndsLike(string[] parts, string endpoint)
    {
        var own = endpoint.Split('/', StringSplitOptions.RemoveEmptyEntries)[1..];
        return parts.Length >= own.Length
            && parts.TakeLast(own.Length).SequenceEqual(own, StringComparer.OrdinalIgnoreCase);
    }
}
