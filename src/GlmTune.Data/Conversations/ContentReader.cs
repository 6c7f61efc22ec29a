using System.Text;
using System.Text.Json;
using GlmTune.Files.Json;

namespace GlmTune.Data.Conversations;

/// <summary>The content of a message: its text, and the calls or tools written as parts of it.</summary>
internal sealed record MessageContent(string Text)
{
    public List<JsonElement> Calls { get; } = [];

    public List<JsonElement> Tools { get; } = [];
}

/// <summary>Reads contents: a string, or an array of parts.</summary>
internal sealed class ContentReader(RowReading reading)
{
    /// <summary>The text of a key; empty if it is missing.</summary>
    public string Text(JsonElement owner, string key, int? index)
    {
        if (RowReading.Optional(owner, key) is not { } value)
        {
            return "";
        }

        if (value.ValueKind == JsonValueKind.String)
        {
            return value.GetString()!;
        }

        reading.Problem(
            index,
            $"'{key}' is {JsonFile.Describe(value)}; expected a "
                + $"string{(value.ValueKind == JsonValueKind.Object ? " (JSON inside it is written as text)" : "")}."
        );
        return "";
    }

    /// <summary>A message's content.</summary>
    public MessageContent Read(JsonElement message, int index)
    {
        var key = reading.OneOf(message, index, "content", "value");
        var content = RowReading.Optional(message, key) is { ValueKind: JsonValueKind.Array } parts
            ? Parts(parts, key, index)
            : new MessageContent(Text(message, key, index));

        // OpenAI's models use this when they decline to answer.
        var refusal = Text(message, "refusal", index);
        if (refusal.Length > 0 && content.Text.Length > 0)
        {
            reading.Problem(
                index,
                "both 'refusal' and content; expected one of them. Keep what the model should answer."
            );
        }

        return refusal.Length > 0 && content.Text.Length == 0 ? content with { Text = refusal } : content;
    }

    private MessageContent Parts(JsonElement parts, string key, int index)
    {
        var text = new StringBuilder();
        var content = new MessageContent("");
        foreach (var (place, part) in parts.EnumerateArray().Index())
        {
            var type = part.ValueKind == JsonValueKind.Object ? Text(part, "type", index) : null;
            switch (type)
            {
                case null:
                    reading.Problem(
                        index,
                        $"{key}[{place}] is {JsonFile.Describe(part)}; expected a part such as {{\"type\": \"text\", "
                            + "\"text\": …}."
                    );
                    break;
                case "text" or "refusal":
                    text.Append(PartText(part, type, index, $"{key}[{place}]"));
                    break;
                case "tool_call" or "tools":
                    if (
                        reading.Inner(PartText(part, type, index, $"{key}[{place}]"), index, $"{key}[{place}]") is
                        { } value
                    )
                    {
                        (type == "tools" ? content.Tools : content.Calls).Add(value);
                    }

                    break;
                default:
                    reading.Problem(
                        index,
                        $"{key}[{place}]: a part of the type '{type}'; this program trains on text alone. Leave the "
                            + "row or the part out."
                    );
                    break;
            }
        }

        var result = new MessageContent(text.ToString());
        result.Calls.AddRange(content.Calls);
        result.Tools.AddRange(content.Tools);
        return result;
    }

    // OpenAI writes {"type": "text", "text"}, LLaMA-Factory {"type": "text", "value"}.
    private string PartText(JsonElement part, string type, int index, string place)
    {
        var key = part.TryGetProperty("value", out _) ? "value" : type;
        if (!part.TryGetProperty(key, out _))
        {
            reading.Problem(index, $"{place}: no '{type}' and no 'value'; found {RowReading.Keys(part)}.");
        }

        return Text(part, key, index);
    }
}
