namespace GlmTune.Server;

/// <summary>What is meant by a path at which nothing is: most often the client's base address is wrong.</summary>
internal static class WrongAddress
{
    /// <summary>A sentence, with a space before it; empty where nothing is near.</summary>
    public static string HintFor(HttpContext context)
    {
        if (context.RequestServices.GetService<ServedModels>() is null)
        {
            return ""; // Not a server of models.
        }

        var request = context.Request;
        var address = $"{request.Scheme}://{Shown.Of(request.Host.Value ?? "")}/v1";
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
            // The longest first: /v1/chat/completions ends as /v1/completions does.
            .OrderByDescending(path => path.Length);

    // Whether the path has the endpoint's own parts at its end: /chat/completions, /v1/v1/chat/completions,
    // /openai/v1/chat/completions/.
    private static bool EndsLike(string[] parts, string endpoint)
    {
        var own = endpoint.Split('/', StringSplitOptions.RemoveEmptyEntries)[1..];
        return parts.Length >= own.Length && parts.TakeLast(own.Length).SequenceEqual(own, StringComparer.OrdinalIgnoreCase);
    }
}
