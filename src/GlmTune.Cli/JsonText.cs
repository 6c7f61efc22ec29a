using System.Text.Encodings.Web;
using System.Text.Json;

namespace GlmTune.Cli;

/// <summary>JSON as commands print it: one line, names as the field writes them, text readable.</summary>
internal static class JsonText
{
    private static readonly JsonSerializerOptions Options = new()
    {
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
    };

    /// <summary>A value as one line.</summary>
    public static string Of<T>(T value) => JsonSerializer.Serialize(value, Options);
}
