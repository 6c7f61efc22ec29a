using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace GlmTune.SampleData;

/// <summary>One turn. <paramref name="Metadata"/> is the tool's name in a call of GLM-4's own style, otherwise
/// null.</summary>
internal sealed record Message(string Role, string Content, string? Metadata = null);

/// <summary>One row of a conversation file: turns, and before them the tools that the system message offers.</summary>
internal sealed record Conversation(IReadOnlyList<Message> Messages, IReadOnlyList<JsonObject>? Tools = null)
{
    // Chinese stays readable in the files; they are never put into a web page.
    private static readonly JsonSerializerOptions OneLine = new()
    {
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };

    /// <summary>A question and its answer.</summary>
    public static Conversation Of(string question, string answer) =>
        new([new("user", question), new("assistant", answer)]);

    /// <summary>The row as one line of JSON, without a line break.</summary>
    public string ToJson()
    {
        var messages = new JsonArray();
        if (Tools is not null)
        {
            messages.Add(
                new JsonObject
                {
                    ["role"] = "system",
                    ["content"] = "",
                    ["tools"] = new JsonArray([.. Tools.Select(tool => tool.DeepClone())]),
                }
            );
        }

        foreach (var message in Messages)
        {
            var json = new JsonObject { ["role"] = message.Role };
            if (message.Metadata is not null)
            {
                json["metadata"] = message.Metadata;
            }

            json["content"] = message.Content;
            messages.Add(json);
        }

        return new JsonObject { ["messages"] = messages }.ToJsonString(OneLine);
    }
}
