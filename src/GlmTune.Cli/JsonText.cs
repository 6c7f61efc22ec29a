using System.Text.Encodings.Web;
using System.Text.Json;

namespace GlmTune.Cli;

/// <summary>JSON output of commands: one line, snake_case names, readable text.</summary>
internal static class JsonText
{
    private static readonly JsonSerializerOptions Options = new()
    {
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
    };

    /// <summary>Serializes a value as one line.</summary>
    public static string Of<T>(T value) => JsonSerializer.Serialize(value, Options);
}
