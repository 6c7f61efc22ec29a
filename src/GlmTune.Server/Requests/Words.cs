using System.Text.Json;

namespace GlmTune.Server;

/// <summary>Strings of a request that were left as JSON.</summary>
internal static class Words
{
    /// <exception cref="ApiException">400: it holds half of a surrogate pair.</exception>
    public static string Of(JsonElement text, string param)
    {
        try
        {
            return text.GetString()!;
        }
        catch (InvalidOperationException)
        {
            throw ApiException.Wrong(param, $"'{param}' holds half of a surrogate pair, which is no character.");
        }
    }
}
