using System.Security.Cryptography;
using System.Text;

namespace GlmTune.Server;

/// <summary>Requires an API key.</summary>
internal static class ApiKeyGuard
{
    /// <summary>Exempts an endpoint that reveals nothing, such as a page's own files or the health check.</summary>
    public static TBuilder AllowWithoutKey<TBuilder>(this TBuilder endpoint)
        where TBuilder : IEndpointConventionBuilder => endpoint.WithMetadata(new WithoutKey());

    /// <summary>Rejects requests without a valid key; does nothing if no keys are configured.</summary>
    internal static void UseApiKeyGuard(this WebApplication app, ServerOptions options)
    {
        // Hashes have equal lengths, so comparing them takes the same time whatever was sent.
        var keys = options.ApiKeys.Select(Hash).ToArray();
        if (keys.Length == 0)
        {
            return;
        }

        app.Use(
            (context, next) =>
            {
                if (context.GetEndpoint()?.Metadata.GetMetadata<WithoutKey>() is not null)
                {
                    return next(context);
                }

                var given = context.Request.Headers.Authorization.ToString();
                var hash = Hash(
                    given.StartsWith("Bearer ", StringComparison.OrdinalIgnoreCase)
                        ? given["Bearer ".Length..].Trim()
                        : ""
                );
                var match = -1;
                for (var i = 0; i < keys.Length; i++)
                {
                    match = CryptographicOperations.FixedTimeEquals(hash, keys[i]) ? i : match;
                }

                context.Items[typeof(WithoutKey)] = match;
                return match >= 0
                    ? next(context)
                    : throw new ApiException(
                        StatusCodes.Status401Unauthorized,
                        "The API key is missing or wrong; send it as the header 'Authorization: Bearer KEY'.",
                        code: "invalid_api_key"
                    );
            }
        );
    }

    /// <summary>Identifies the client for fair queueing: the index of its key, or its address.</summary>
    internal static string ClientOf(HttpContext context) =>
        context.Items[typeof(WithoutKey)] is int key
            ? $"key {key}"
            : context.Connection.RemoteIpAddress?.ToString() ?? "";

    private static byte[] Hash(string key) => SHA256.HashData(Encoding.UTF8.GetBytes(key));

    private sealed record WithoutKey;
}
