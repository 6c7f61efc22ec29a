using System.Text.Json;
using GlmTune.Data.Conversations;

namespace GlmTune.Data.Converting;

/// <summary>OpenAI's fine-tuning rows: <c>{"messages": […], "tools": […]}</c>, with <c>tool_calls</c> or the older
/// <c>function_call</c>.</summary>
internal sealed class OpenAiShape : RowShape
{
    public override string Name => "openai";

    public override IEnumerable<Conversation> Convert(JsonElement entry)
    {
        List<ToolDefinition> tools =
        [
            .. OptionalArray(entry, "tools").Concat(OptionalArray(entry, "functions")).Select(ToolDefinition.Read),
        ];
        if (!entry.TryGetProperty("messages", out _))
        {
            throw new InvalidDataException("no 'messages'.");
        }

        var system = "";
        var messages = new List<Message>();
        foreach (var (index, message) in OptionalArray(entry, "messages").Index())
        {
            var role = Text(message, "role");
            if (role is "system" or "developer")
            {
                system =
                    index == 0
                        ? Content(message)
                        : throw new InvalidDataException(
                            $"messages[{index}]: role '{role}' must come first; a conversation has one system "
                                + "message, at the start."
                        );
            }
            else
            {
                messages.AddRange(Read(message, role, index));
            }
        }

        return [WithTools(tools, system, messages)];
    }

    private static IEnumerable<Message> Read(JsonElement message, string role, int index)
    {
        var content = Content(message);
        switch (role)
        {
            case "user":
                return [new Message(Role.User, content)];
            case "tool" or "function":
                return [new Message(Role.Observation, content)];
            case "assistant":
                // The model calls one tool a turn, so several calls are several turns.
                var calls = OptionalArray(message, "tool_calls").Select(call => call.GetProperty("function"));
                if (message.TryGetProperty("function_call", out var single) && single.ValueKind == JsonValueKind.Object)
                {
                    calls = calls.Append(single);
                }

                var answers = calls
                    .Select(call =>
                        Call(
                            Text(call, "name"),
                            call.TryGetProperty("arguments", out var arguments) ? arguments : default
                        )
                    )
                    .ToList();
                if (content.Length > 0 || answers.Count == 0)
                {
                    answers.Insert(0, new Message(Role.Assistant, content));
                }

                bool? loss =
                    message.TryGetProperty("weight", out var weight) && weight.ValueKind == JsonValueKind.Number
                        ? weight.GetDouble() > 0
                        : null;
                return answers.Select(answer => answer with { Loss = loss });
            default:
                throw new InvalidDataException(
                    $"messages[{index}]: role '{role}'; expected system, developer, user, assistant, tool or function."
                );
        }
    }

    // Text, or an array of parts of which only text is supported.
    private static string Content(JsonElement message)
    {
        if (!message.TryGetProperty("content", out var content) || content.ValueKind != JsonValueKind.Array)
        {
            return OptionalText(message, "content") ?? "";
        }

        return string.Concat(
            content
                .EnumerateArray()
                .Select(part =>
                    OptionalText(part, "type") is "text"
                        ? Text(part, "text")
                        : throw new InvalidDataException(
                            $"a content part of type '{OptionalText(part, "type")}'; only text is supported."
                        )
                )
        );
    }
}
