using System.Text.Json;
using GlmTune.Data.Conversations;

namespace GlmTune.Data.Converting;

/// <summary>ShareGPT: <c>{"conversations": [{"from", "value"}], "system", "tools"}</c>, where tools may be JSON inside
/// a string.</summary>
internal sealed class ShareGptShape : RowShape
{
    public override string Name => "sharegpt";

    public override IEnumerable<Conversation> Convert(JsonElement entry)
    {
        if (!entry.TryGetProperty("conversations", out _))
        {
            throw new InvalidDataException("no 'conversations'.");
        }

        var system = OptionalText(entry, "system") ?? "";
        var messages = new List<Message>();
        foreach (var (index, turn) in OptionalArray(entry, "conversations").Index())
        {
            var (from, value) = (Text(turn, "from"), Text(turn, "value"));
            switch (from)
            {
                case "human" or "user":
                    messages.Add(new Message(Role.User, value));
                    break;
                case "gpt" or "assistant" or "chatgpt" or "bing" or "bard":
                    messages.Add(new Message(Role.Assistant, value));
                    break;
                case "function_call":
                    messages.AddRange(Calls(value, index));
                    break;
                case "observation" or "tool" or "function_response":
                    messages.Add(new Message(Role.Observation, value));
                    break;
                case "system" when index == 0:
                    system = value;
                    break;
                default:
                    throw new InvalidDataException(
                        $"conversations[{index}]: from '{from}'; expected human, gpt, function_call, observation, or "
                            + "system at the start."
                    );
            }
        }

        return [WithTools(Tools(entry), system, messages)];
    }

    private static List<ToolDefinition> Tools(JsonElement entry)
    {
        if (
            !entry.TryGetProperty("tools", out var tools)
            || tools.ValueKind == JsonValueKind.Null
            || (tools.ValueKind == JsonValueKind.String && string.IsNullOrWhiteSpace(tools.GetString()))
        )
        {
            return [];
        }

        using var inner = tools.ValueKind == JsonValueKind.String ? Parse(tools.GetString()!, "'tools'") : null;
        var list = inner?.RootElement ?? tools;
        return list.ValueKind == JsonValueKind.Array
            ? [.. list.EnumerateArray().Select(ToolDefinition.Read)]
            : throw new InvalidDataException($"'tools' is {Found(list)}; expected an array of tools.");
    }

    private static List<Message> Calls(string value, int index)
    {
        using var json = Parse(value, $"conversations[{index}]: the call");
        var calls =
            json.RootElement.ValueKind == JsonValueKind.Array
                ? [.. json.RootElement.EnumerateArray()]
                : new[] { json.RootElement };
        return
        [
            .. calls.Select(call =>
                call.ValueKind == JsonValueKind.Object
                    ? Call(
                        Text(call, "name"),
                        call.TryGetProperty("arguments", out var arguments) ? arguments : default
                    )
                    : throw new InvalidDataException(
                        $"conversations[{index}]: the call is {Found(call)}; expected {{\"name\", \"arguments\"}}."
                    )
            ),
        ];
    }

    private static JsonDocument Parse(string json, string what)
    {
        try
        {
            return JsonDocument.Parse(json);
        }
        catch (JsonException e)
        {
            throw new InvalidDataException($"{what} is not valid JSON.", e);
        }
    }
}
