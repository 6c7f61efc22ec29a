namespace GlmTune.Server;

/// <summary>Describes the errors of an endpoint for the OpenAPI document.</summary>
internal static class ErrorMetadata
{
    public static RouteHandlerBuilder WithErrors(this RouteHandlerBuilder endpoint)
    {
        foreach (var status in (int[])[400, 401, 404, 413, 415, 429, 503, 504])
        {
            endpoint.Produces<ErrorBody>(status);
        }

        return endpoint;
    }
}
