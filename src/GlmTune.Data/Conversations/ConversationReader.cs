using System.Text.Json;
using System.Text.Unicode;

namespace GlmTune.Data.Conversations;

/// <summary>Reads one row in the fine-tuning format; collects everything that is wrong with it.</summary>
internal sealed class ConversationReader
{
    private static readonly JsonDocumentOptions Options = new() { MaxDepth = 512 };

    private readonly string file;
    private readonly int line;
    private readonly List<DataProblem> problems = [];

    private ConversationReader(string file, int line) => (this.file, this.line) = (file, line);

    public static ConversationRow Parse(JsonLine text, string file)
    {
        var reader = new ConversationReader(file, text.Number);
        var conversation = reader.Row(text.Text);
        return new ConversationRow(text.Number, reader.problems.Count == 0 ? conversation : null, reader.problems);
    }

    /// <summary>Reads the messages of a row that is not from a file, such as a converted one.</summary>
    public static ConversationRow Parse(JsonElement row, string file, int line)
    {
        var reader = new ConversationReader(file, line);
        var conversation = reader.Row(row);
        return new ConversationRow(line, reader.problems.Count == 0 ? conversation : null, reader.problems);
    }

    private Conversation? Row(byte[] text)
    {
        if (!Utf8.IsValid(text))
        {
            Problem(null, "the line is not valid UTF-8. Save the file as UTF-8.");
            return null;
        }

        try
        {
            using var document = JsonDocument.Parse(text, Options);
            return Row(document.RootElement);
        }
        catch (JsonException e)
        {
            var place = e.BytePositionInLine is { } position ? $" at byte {position + 1}" : "";
            Problem(null, $"not valid JSON{place}: {Reason(e)} Each line must be one JSON object.");
            return null;
        }
        catch (InvalidOperationException)
        {
            // The only thing that valid JSON in UTF-8 can hold and a string cannot.
            Problem(null, "a string contains an unpaired surrogate (\\ud800 to \\udfff), which is not a character.");
            return null;
        }
    }

    private Conversation? Row(JsonElement row)
    {
        if (row.ValueKind != JsonValueKind.Object)
        {
            Problem(null, $"found {Kind(row)}; expected an object with 'messages'. Each line must be one JSON object.");
            return null;
        }

        if (!row.TryGetProperty("messages", out var messages))
        {
            Problem(null, $"no 'messages'; found {Keys(row)}. {ConvertHint(row)}");
            return null;
        }

        if (messages.ValueKind != JsonValueKind.Array || messages.GetArrayLength() == 0)
        {
            Problem(null, $"'messages' is {Kind(messages)}; expected an array with at least one message.");
            return null;
        }

        if (
            row.TryGetProperty("tools", out var tools)
            && tools.ValueKind is not (JsonValueKind.Null or JsonValueKind.Undefined)
        )
        {
            Problem(
                null,
                "'tools' is next to 'messages', but tools belong to the system message. 'glmtune data "
                    + "convert --from openai' moves them."
            );
        }

        var result = new List<Message>();
        foreach (var (index, message) in messages.EnumerateArray().Index())
        {
            if (Read(message, index) is { } read)
            {
                if (read.Role == Role.System && index > 0)
                {
                    Problem(
                        index,
                        $"role 'system' after '{Name(result.LastOrDefault()?.Role)}'. A conversation has at "
                            + "most one system message, which must come first."
                    );
                }

                result.Add(read);
            }
        }

        return new Conversation(result);
    }

    private Message? Read(JsonElement message, int index)
    {
        if (message.ValueKind != JsonValueKind.Object)
        {
            Problem(index, $"found {Kind(message)}; expected an object with 'role' and 'content'.");
            return null;
        }

        var before = problems.Count;
        var role = ReadRole(message, index);
        var content = Text(message, "content", index);
        var metadata = Text(message, "metadata", index);
        var tools = ReadTools(message, index, role);
        bool? loss = null;
        if (message.TryGetProperty("loss", out var flag) && flag.ValueKind != JsonValueKind.Null)
        {
            if (flag.ValueKind is JsonValueKind.True or JsonValueKind.False)
            {
                loss = flag.GetBoolean();
            }
            else
            {
                Problem(index, $"'loss' is {Kind(flag)}; expected true or false.");
            }
        }

        foreach (var key in (string[])["tool_calls", "function_call"])
        {
            if (
                message.TryGetProperty(key, out var call)
                && call.ValueKind is not (JsonValueKind.Null or JsonValueKind.Undefined)
                && !(call.ValueKind == JsonValueKind.Array && call.GetArrayLength() == 0)
            )
            {
                Problem(
                    index,
                    $"'{key}' is not supported; write the call as 'metadata' (the tool's name) and 'content' "
                        + "(its arguments), or use 'glmtune data convert --from openai'."
                );
            }
        }

        return problems.Count > before || role is null
            ? null
            : new Message(role.Value, content)
            {
                Metadata = metadata,
                Tools = tools,
                Loss = loss,
            };
    }

    private Role? ReadRole(JsonElement message, int index)
    {
        if (!message.TryGetProperty("role", out var role) || role.ValueKind != JsonValueKind.String)
        {
            Problem(
                index,
                role.ValueKind == JsonValueKind.Undefined
                    ? $"no 'role'; found {Keys(message)}. Expected system, user, assistant or observation."
                    : $"'role' is {Kind(role)}; expected system, user, assistant or observation."
            );
            return null;
        }

        var name = role.GetString();
        Role? known = name switch
        {
            "system" => Role.System,
            "user" => Role.User,
            "assistant" => Role.Assistant,
            "observation" => Role.Observation,
            _ => null,
        };
        if (known is null)
        {
            var hint = name switch
            {
                "tool" or "function" =>
                    "The result of a tool has role 'observation'; 'glmtune data convert --from openai' "
                        + "renames it.",
                "human" or "gpt" => "This looks like the ShareGPT format; use 'glmtune data convert --from sharegpt'.",
                _ => "",
            };
            Problem(index, $"role '{name}'; expected system, user, assistant or observation.{hint}");
        }

        return known;
    }

    private List<ToolDefinition> ReadTools(JsonElement message, int index, Role? role)
    {
        var tools = new List<ToolDefinition>();
        if (!message.TryGetProperty("tools", out var list) || list.ValueKind == JsonValueKind.Null)
        {
            return tools;
        }

        if (list.ValueKind != JsonValueKind.Array)
        {
            Problem(index, $"'tools' is {Kind(list)}; expected an array of tools.");
            return tools;
        }

        if (role is not null and not Role.System && list.GetArrayLength() > 0)
        {
            Problem(index, $"'tools' on a message with role '{Name(role)}'; only a system message can declare tools.");
        }

        foreach (var (place, tool) in list.EnumerateArray().Index())
        {
            try
            {
                tools.Add(ToolDefinition.Read(tool));
            }
            catch (InvalidDataException e)
            {
                Problem(index, $"tools[{place}]: {e.Message}");
            }
        }

        return tools;
    }

    private string Text(JsonElement message, string key, int index)
    {
        if (!message.TryGetProperty(key, out var value) || value.ValueKind == JsonValueKind.Null)
        {
            return "";
        }

        if (value.ValueKind == JsonValueKind.String)
        {
            return value.GetString()!;
        }

        Problem(
            index,
            $"'{key}' is {Kind(value)}; expected a "
                + $"string{(value.ValueKind == JsonValueKind.Object ? " (write nested JSON as text)" : "")}."
        );
        return "";
    }

    private void Problem(int? message, string text) => problems.Add(new DataProblem(file, line, message, text));

    private static string Name(Role? role) => role?.ToString().ToLowerInvariant() ?? "an invalid message";

    private static string Kind(JsonElement value) =>
        value.ValueKind switch
        {
            JsonValueKind.Object => "an object",
            JsonValueKind.Array when value.GetArrayLength() == 0 => "an empty array",
            JsonValueKind.Array => "an array",
            JsonValueKind.String => "a string",
            JsonValueKind.Number => "a number",
            JsonValueKind.True => "true",
            JsonValueKind.False => "false",
            JsonValueKind.Null => "null",
            _ => "nothing",
        };

    private static string Keys(JsonElement row)
    {
        var names = row.EnumerateObject().Select(property => $"'{property.Name}'").Take(6).ToList();
        return names.Count == 0 ? "an empty object" : string.Join(", ", names);
    }

    private static string ConvertHint(JsonElement row)
    {
        bool Has(string key) => row.TryGetProperty(key, out _);
        var shape =
            Has("conversations") ? "sharegpt"
            : Has("content") && Has("summary") ? "advertisegen"
            : Has("instruction") ? "alpaca"
            : null;
        return shape is null
            ? "A row is {\"messages\": […]}."
            : $"This looks like another format; use 'glmtune data convert --from {shape}'.";
    }

    private static string Reason(JsonException e)
    {
        var cut = e.Message.IndexOf(" LineNumber:", StringComparison.Ordinal);
        return cut < 0 ? e.Message : e.Message[..cut];
    }
}
