using System.Text.Json;
using GlmTune.Data.Conversations;
using GlmTune.Inference;

namespace GlmTune.Server;

/// <summary>Converts the messages and tools of a request to a GLM-4 conversation.</summary>
/// <remarks>Tools go into a system message of their own before the caller's, as in the model's training; the caller's
/// is kept. A message of several lines stays one message. Calls are written as the model made them, as far as ids and
/// arguments allow (<see cref="WrittenCall"/>).</remarks>
internal static class RequestConversation
{
    /// <param name="messages">The messages.</param>
    /// <param name="tools">The tools shown to the model.</param>
    /// <param name="declared">All tools of the request, whether shown or not, which are needed to read earlier
    /// calls.</param>
    /// <exception cref="ApiException">400: a message has an unknown role, or there is nothing to answer.</exception>
    public static Conversation Read(
        IReadOnlyList<RequestMessage?>? messages,
        IReadOnlyList<ToolDefinition> tools,
        IEnumerable<ToolDefinition> declared
    )
    {
        if (messages is not { Count: > 0 })
        {
            throw ApiException.Wrong("messages", "'messages' is missing or empty; expected at least one message.");
        }

        var all = declared.ToList();
        var builtIn = all.Where(tool => tool.Type != "function")
            .Select(tool => tool.Name)
            .ToHashSet(StringComparer.Ordinal);
        // A function with that name has JSON arguments like any other.
        var takesCode = all.TrueForAll(tool => tool.Type != "function" || tool.Name != ToolDefinition.Python);
        var read = InCallOrder(messages)
            .SelectMany(message => Read(message.Item, $"messages[{message.Index}]", builtIn, takesCode))
            .ToList();
        if (messages[^1]!.Role is not ("user" or "tool"))
        {
            throw ApiException.Wrong(
                $"messages[{messages.Count - 1}].role",
                "Nothing to answer: the last message must be from a user or a tool."
            );
        }

        return new Conversation(tools.Count == 0 ? read : [new Message(Role.System, "") { Tools = tools }, .. read]);
    }

    private static (int Index, RequestMessage? Item)[] InCallOrder(IReadOnlyList<RequestMessage?> messages)
    {
        var problems = new FieldProblems();
        var sorted = ToolResultOrder.Sort(
            [.. messages.Index()],
            message =>
                message.Item is { Role: "assistant" } assistant
                    ? (assistant.ToolCalls ?? []).Select(call => call?.Id)
                    : null,
            message => message.Item?.Role == "tool",
            message => message.Item?.ToolCallId,
            found => problems.Check(false, $"messages[{found.Message}].{found.Field}", Printable.Of(found.Text))
        );
        problems.ThrowIfAny();
        return sorted;
    }

    private static List<Message> Read(RequestMessage? message, string param, HashSet<string> builtIn, bool takesCode)
    {
        if (
            message
            is { Role: not "assistant", ReasoningContent.Length: > 0 }
                or { Role: not "assistant", Reasoning.Length: > 0 }
        )
        {
            throw ApiException.Wrong(
                $"{param}.reasoning_content",
                $"'{param}' has thoughts; only messages of the assistant may have 'reasoning_content'."
            );
        }

        return Turns(message, param, builtIn, takesCode);
    }

    private static List<Message> Turns(
        RequestMessage? message,
        string param,
        HashSet<string> builtIn,
        bool takesCode
    ) =>
        message?.Role switch
        {
            "system" or "developer" => [new Message(Role.System, Text(message.Content, $"{param}.content"))],
            "user" =>
            [
                new Message(
                    Role.User,
                    Text(message.Content, $"{param}.content") is { Length: > 0 } said
                        ? said
                        : throw ApiException.Wrong(
                            $"{param}.content",
                            $"'{param}.content' is empty; a user message needs content."
                        )
                ),
            ],
            "tool" => [new Message(Role.Observation, ToolResult.Shown(Text(message.Content, $"{param}.content")))],
            "assistant" => Assistant(message, param, builtIn, takesCode),
            null => throw ApiException.Wrong(
                message is null ? param : $"{param}.role",
                $"'{param}' has no role; expected system, developer, user, assistant or tool."
            ),
            var role => throw ApiException.Wrong(
                $"{param}.role",
                $"'{param}.role' is '{Printable.Of(role)}'; expected system, developer, user, assistant or tool."
            ),
        };

    private static List<Message> Assistant(
        RequestMessage message,
        string param,
        HashSet<string> builtIn,
        bool takesCode
    )
    {
        Refuse(message.FunctionCall, $"{param}.function_call", "use tool_calls");
        Refuse(message.Audio, $"{param}.audio", "use content");
        var read = new List<Message>();
        var text = message.Content is { ValueKind: not JsonValueKind.Null } content
            ? Text(content, $"{param}.content")
            : message.Refusal;
        if (text is { Length: > 0 })
        {
            read.Add(new Message(Role.Assistant, text));
        }

        foreach (var (index, call) in (message.ToolCalls ?? []).Index())
        {
            var place = $"{param}.tool_calls[{index}]";
            if (call?.Type is not (null or "function"))
            {
                throw ApiException.Wrong(
                    $"{place}.type",
                    $"'{place}.type' is '{Printable.Of(call.Type)}'; expected function."
                );
            }

            if (call?.Function is not { } function)
            {
                throw ApiException.Wrong(
                    call is null ? place : $"{place}.function",
                    $"'{place}' needs a 'function' with a name and arguments."
                );
            }

            if (function.Name is not { Length: > 0 } || function.Name.AsSpan().IndexOfAny('\r', '\n') >= 0)
            {
                throw ApiException.Wrong($"{place}.function.name", $"'{place}.function.name' must be a single line.");
            }

            var arguments = ToolCall.ArgumentsOrNone(function.Arguments);
            if (
                !(takesCode && function.Name == ToolDefinition.Python)
                && !new ToolCall(function.Name, arguments, ToolCallStyle.Native).HasJsonArguments
            )
            {
                throw ApiException.Wrong(
                    $"{place}.function.arguments",
                    $"'{place}.function.arguments' is '{Printable.Of(arguments)}'; expected a JSON object as a string, "
                        + "such as \"{}\"."
                );
            }

            read.Add(WrittenCall.Message(call.Id, function.Name, arguments, builtIn.Contains(function.Name)));
        }

        if (read.Count > 0 && (message.ReasoningContent ?? message.Reasoning) is { Length: > 0 } thoughts)
        {
            read[0] = read[0] with { Reasoning = thoughts.Trim() };
        }

        return read;
    }

    private static string Text(JsonElement? content, string param) =>
        content switch
        {
            { ValueKind: JsonValueKind.String } text => text.GetString()!,
            { ValueKind: JsonValueKind.Array } parts => string.Concat(
                parts.EnumerateArray().Index().Select(part => Part(part.Item, $"{param}[{part.Index}]"))
            ),
            null or { ValueKind: JsonValueKind.Null or JsonValueKind.Undefined } => throw ApiException.Wrong(
                param,
                $"'{param}' is missing; expected a string or a list of text parts."
            ),
            { } other => throw ApiException.Wrong(
                param,
                $"'{param}' is {RequestBody.Kind(other)}; expected a string or a list of text parts."
            ),
        };

    private static string Part(JsonElement part, string param)
    {
        const string Expected = "expected {\"type\": \"text\", \"text\": …}";
        if (part.ValueKind != JsonValueKind.Object)
        {
            throw ApiException.Wrong(param, $"'{param}' is {RequestBody.Kind(part)}; {Expected}.");
        }

        if (!part.TryGetProperty("type", out var type) || type.ValueKind != JsonValueKind.String)
        {
            throw ApiException.Wrong($"{param}.type", $"'{param}' has no type; {Expected}.");
        }

        var kind = type.GetString()!;
        if (kind is not ("text" or "refusal"))
        {
            throw ApiException.Wrong(
                $"{param}.type",
                $"'{param}' has type '{Printable.Of(kind)}'; this model reads only text: {Expected}."
            );
        }

        return part.TryGetProperty(kind, out var text) && text.ValueKind == JsonValueKind.String
            ? text.GetString()!
            : throw ApiException.Wrong(
                $"{param}.{kind}",
                $"'{param}.{kind}' is "
                    + $"{(text.ValueKind == JsonValueKind.Undefined ? "missing" : RequestBody.Kind(text))}; expected a "
                    + "string."
            );
    }

    private static void Refuse(JsonElement? field, string param, string instead)
    {
        if (field is { ValueKind: not JsonValueKind.Null })
        {
            throw ApiException.Wrong(param, $"'{param}' is not supported; {instead}.");
        }
    }
}
