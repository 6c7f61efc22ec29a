using System.Text.Json;
using GlmTune.Files.Json;

namespace GlmTune.Data.Conversations;

/// <summary>Reads one message of a row, which may become several messages in the model's format.</summary>
internal sealed class MessageReader(RowReading reading, ToolListReader tools)
{
    private static readonly string[] ReadKeys =
    [
        "role",
        "content",
        "from",
        "value",
        "metadata",
        "tools",
        "loss",
        "weight",
        "loss_weight",
        "loss_scale",
        "tool_calls",
        "function_call",
        "refusal",
        "reasoning_content",
        "reasoning",
    ];

    private static bool IsContent(string key) =>
        key is "content" or "value" or "tool_calls" or "function_call" or "refusal" or "tools" or "metadata";

    private readonly CallReader calls = new(reading, tools);
    private readonly ContentReader contents = new(reading);

    /// <summary>The messages read; empty if there is a problem.</summary>
    /// <param name="message">The message.</param>
    /// <param name="index">Its index in the row.</param>
    /// <param name="before">Role of the message before; null at the start.</param>
    public IReadOnlyList<Turn> ReadMessage(JsonElement message, int index, Role? before)
    {
        if (message.ValueKind != JsonValueKind.Object)
        {
            reading.Problem(
                index,
                $"found {JsonFile.Describe(message)}; expected an object with 'role' and 'content'."
            );
            return [];
        }

        var problems = reading.Problems.Count;
        var turns = IsPair(message) ? Pair(message, index) : Turns(message, index, before);
        return reading.Problems.Count == problems ? turns : [];
    }

    // {"human": question, "assistant": answer}
    private static bool IsPair(JsonElement message) =>
        message.TryGetProperty("human", out _) && message.TryGetProperty("assistant", out _);

    private List<Turn> Pair(JsonElement message, int index)
    {
        reading.CheckKeys(message, index, ["human", "assistant"], RowKeys.RefusedInMessage);
        return
        [
            new Turn(new Message(Role.User, contents.Text(message, "human", index)), index),
            new Turn(new Message(Role.Assistant, contents.Text(message, "assistant", index)), index),
        ];
    }

    private List<Turn> Turns(JsonElement message, int index, Role? before)
    {
        var (name, role) = ReadRole(message, index);
        var isResult = role == Role.Observation;
        var isGlm3 = isResult && RowReading.Optional(message, "parameters") is not null;
        reading.CheckKeys(
            message,
            index,
            [
                .. ReadKeys,
                .. isResult ? (string[])["tool_call_id", "name"] : [],
                .. isGlm3 ? (string[])["parameters", "observation"] : [],
            ],
            RowKeys.RefusedInMessage
        );
        if (role is not { } known)
        {
            return [];
        }

        if (known == Role.System && before is { } earlier)
        {
            reading.Problem(
                index,
                $"role 'system' after '{Name(earlier)}'. A conversation has at most one system message, which "
                    + "must come first."
            );
        }

        var loss = LossReader.Read(message, index, known, reading);
        var reasoning = Reasoning(message, index, known);
        if (isGlm3)
        {
            return Glm3Result(message, index, loss);
        }

        if (isResult && RowReading.Optional(message, "observation") is not null)
        {
            reading.Problem(index, "'observation' without 'parameters'; a result by itself has it as 'content'.");
        }
        else if (!ReadKeys.Where(IsContent).Any(key => message.TryGetProperty(key, out _)))
        {
            reading.Problem(index, $"no 'content'; found {RowReading.Keys(message)}.");
        }

        var content = contents.Read(message, index);
        if (known == Role.Assistant)
        {
            var turns = Answer(message, name!, content, index, loss);
            return turns.Count == 0 ? turns : Thinking(turns, reasoning, index);
        }

        RefuseCalls(message, index, known, content);
        return
        [
            new Turn(
                new Message(known, content.Text)
                {
                    Metadata = contents.Text(message, "metadata", index),
                    Tools = ReadTools(message, content, index, known),
                    Loss = loss,
                },
                index,
                Id: isResult ? Id(message, "tool_call_id", index) : null
            ),
        ];
    }

    // The thoughts precede everything that the message becomes.
    private List<Turn> Thinking(List<Turn> turns, string reasoning, int index)
    {
        if (reasoning.Length == 0)
        {
            return turns;
        }

        var first = turns[0].Message;
        if (first.Content.Length == 0)
        {
            reading.Problem(
                index,
                "'reasoning_content' without an answer; expected the text or the tool call that it leads to."
            );
        }
        else if (first.Content.Contains(Thoughts.Close, StringComparison.Ordinal))
        {
            reading.Problem(
                index,
                $"thoughts in 'reasoning_content', and '{Thoughts.Close}' in the content. Keep one of them."
            );
        }

        return [turns[0] with { Message = first with { Reasoning = reasoning } }, .. turns.Skip(1)];
    }

    private string Reasoning(JsonElement message, int index, Role role)
    {
        var key = reading.OneOf(message, index, "reasoning_content", "reasoning");
        var text = contents.Text(message, key, index);
        if (text.Length > 0 && role != Role.Assistant)
        {
            reading.Problem(
                index,
                $"'{key}' on a message with role '{Name(role)}'; only the assistant's messages have thoughts."
            );
        }
        else if (
            text.Contains(Thoughts.Open, StringComparison.Ordinal)
            || text.Contains(Thoughts.Close, StringComparison.Ordinal)
        )
        {
            reading.Problem(
                index,
                $"'{key}' contains '{Thoughts.Open}' or '{Thoughts.Close}', which the template writes around it. "
                    + "Remove them."
            );
        }

        return text.Trim();
    }

    private List<Turn> Answer(JsonElement message, string role, MessageContent content, int index, bool? loss)
    {
        ReadTools(message, content, index, Role.Assistant);
        var metadata = contents.Text(message, "metadata", index);
        List<Turn> called = [.. calls.Of(message, content, index).Select(call => call.With(index, loss))];
        if (called.Count > 0 && (metadata.Length > 0 || role is "tool_call" or "function_call"))
        {
            reading.Problem(index, "the message calls tools in two ways. Keep one of them.");
        }

        if (metadata.Length > 0)
        {
            return [new Turn(calls.Written(metadata, content.Text, index) with { Loss = loss }, index, IsCall: true)];
        }

        if (role is "tool_call" or "function_call")
        {
            return [.. calls.FromText(content.Text, index).Select(call => call.With(index, loss))];
        }

        // The model calls one tool per turn, so several calls become several turns.
        return content.Text.Length > 0 || called.Count == 0
            ? [Plain(new Message(Role.Assistant, content.Text) { Loss = loss }, index), .. called]
            : called;
    }

    // The demo's data has calls as content with two keys.
    private static Turn Plain(Message message, int index) => new(message, index, ToolCall.Read(message) is not null);

    // ChatGLM3: {"role": "tool", "name", "parameters", "observation"} is a call together with its result.
    private List<Turn> Glm3Result(JsonElement message, int index, bool? loss)
    {
        var name = contents.Text(message, "name", index);
        if (name.Length == 0)
        {
            reading.Problem(index, "no 'name' beside 'parameters'; expected the name of the tool.");
            return [];
        }

        var call = calls.Converted(name, message.GetProperty("parameters"), index) with { Loss = loss };
        if (RowReading.Optional(message, "observation") is null && RowReading.Optional(message, "content") is null)
        {
            reading.Problem(index, "no 'observation' beside 'parameters'; expected the result of the call.");
        }

        var result = RowReading.Optional(message, reading.OneOf(message, index, "observation", "content")) is { } found
            ? found.ValueKind == JsonValueKind.String
                ? found.GetString()!
                : Templates.PythonJson.Write(found, indent: null)
            : contents.Read(message, index).Text;
        return [new Turn(call, index, IsCall: true), new Turn(new Message(Role.Observation, result), index)];
    }

    private List<ToolDefinition> ReadTools(JsonElement message, MessageContent content, int index, Role role)
    {
        List<ToolDefinition> found =
        [
            .. tools.ReadList(message, "tools", index),
            .. content.Tools.SelectMany(value => tools.Read(value, "tools", index)),
        ];
        if (role != Role.System && found.Count > 0)
        {
            reading.Problem(
                index,
                $"'tools' on a message with role '{Name(role)}'; only a system message declares tools."
            );
        }

        return found;
    }

    private void RefuseCalls(JsonElement message, int index, Role role, MessageContent content)
    {
        var hasCalls =
            content.Calls.Count > 0
            || RowReading.Optional(message, "function_call") is not null
            || RowReading.Optional(message, "tool_calls") is { } list
                && !(list.ValueKind == JsonValueKind.Array && list.GetArrayLength() == 0);
        if (hasCalls)
        {
            reading.Problem(
                index,
                $"a tool call on a message with role '{Name(role)}'; only the assistant calls tools."
            );
        }
    }

    private string? Id(JsonElement message, string key, int index) =>
        contents.Text(message, key, index) is { Length: > 0 } id ? id : null;

    private (string? Name, Role? Role) ReadRole(JsonElement message, int index)
    {
        var key = reading.OneOf(message, index, "role", "from");
        if (!message.TryGetProperty(key, out var value) || value.ValueKind != JsonValueKind.String)
        {
            reading.Problem(
                index,
                value.ValueKind == JsonValueKind.Undefined
                    ? $"no 'role'; found {RowReading.Keys(message)}. Expected system, user, assistant or observation."
                    : $"'{key}' is {JsonFile.Describe(value)}; expected system, user, assistant or observation."
            );
            return (null, null);
        }

        var name = value.GetString()!;
        Role? role = name switch
        {
            "system" or "developer" => Role.System,
            "user" or "human" => Role.User,
            "assistant" or "gpt" or "chatgpt" or "bing" or "bard" or "tool_call" => Role.Assistant,
            // In OpenAI's older format 'function' is a result; in ShareGPT 'function_call' is a call.
            "function_call" => Role.Assistant,
            "observation" or "tool" or "function" or "tool_response" or "function_response" => Role.Observation,
            _ => null,
        };
        if (role is null)
        {
            reading.Problem(index, $"role '{name}'; expected system, user, assistant or observation.");
        }

        return (name, role);
    }

    private static string Name(Role role) => role.ToString().ToLowerInvariant();
}
