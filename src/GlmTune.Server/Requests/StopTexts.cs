using System.Text.Json;
using System.Text.Json.Serialization;

namespace GlmTune.Server;

/// <summary>Stop sequences: a string or a list of strings in the request.</summary>
[JsonConverter(typeof(Converter))]
internal sealed record StopTexts(IReadOnlyList<string> Texts)
{
    public void Check(ServerLimits limits, FieldProblems problems)
    {
        problems.Check(
            Texts.All(text => text.Length > 0 && text.Length <= limits.StopTextLength),
            "stop",
            $"has a stop sequence that is empty or longer than {limits.StopTextLength} characters"
        );
    }

    private sealed class Converter : JsonConverter<StopTexts>
    {
        public override StopTexts Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) =>
            new(
                reader.TokenType == JsonTokenType.String
                    ? [reader.GetString()!]
                    :
                    [
                        .. (JsonSerializer.Deserialize<List<string?>>(ref reader, options) ?? []).Select(text =>
                            text ?? throw new JsonException()
                        ),
                    ]
            );

        public override void Write(Utf8JsonWriter writer, StopTexts value, JsonSerializerOptions options) =>
            JsonSerializer.Serialize(writer, value.Texts, options);
    }
}
