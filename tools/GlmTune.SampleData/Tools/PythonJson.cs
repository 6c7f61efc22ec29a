using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace GlmTune.SampleData.Tools;

/// <summary>JSON on one line with a space after each comma and colon, as tool calls in fine-tuning data mostly have it.</summary>
internal static class PythonJson
{
    private static readonly JsonSerializerOptions Readable = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>The text of <paramref name="node"/>.</summary>
    public static string Write(JsonNode? node) => node switch
    {
        JsonObject fields => $"{{{string.Join(", ", fields.Select(field => $"{Write(JsonValue.Create(field.Key))}: {Write(field.Value)}"))}}}",
        JsonArray items => $"[{string.Join(", ", items.Select(Write))}]",
        null => "null",
        _ => node.ToJsonString(Readable),
    };

    /// <summary>A call as the content of an assistant's turn: {"name": …, "arguments": …}.</summary>
    public static string Call(string name, JsonObject arguments) =>
        Write(new JsonObject { ["name"] = name, ["arguments"] = arguments.DeepClone() });
}
