using System.Text.Json;
using GlmTune.Data.Templates;
using GlmTune.Files.Json;

namespace GlmTune.Data.Conversations;

/// <summary>A tool call in GLM-4's own style, with the id that its row gives it.</summary>
internal readonly record struct ReadCall(Message Message, string? Id)
{
    public Turn With(int index, bool? loss) => new(Message with { Loss = loss }, index, IsCall: true, Id);
}

/// <summary>Reads tool calls in all supported formats. Arguments are always one JSON object, <c>{}</c> if there are
/// none; only GLM-4's built-in tools take other text.</summary>
internal sealed class CallReader(RowReading reading, ToolListReader tools)
{
    private const string Decoded = "arguments that were encoded as JSON twice were decoded";
    private const int Shown = 100;

    /// <summary>A call in GLM-4's own style; the arguments are kept as written.</summary>
    public Message Written(string name, string arguments, int index)
    {
        var call = new Message(Role.Assistant, arguments) { Metadata = name };
        if (tools.IsBuiltIn(name))
        {
            if (string.IsNullOrWhiteSpace(arguments))
            {
                reading.Problem(
                    index,
                    $"a call of '{name}' without content; expected the text that the tool is to run."
                );
            }

            return call;
        }

        return string.IsNullOrWhiteSpace(arguments)
            ? call with
            {
                Content = "{}",
            }
            : call with
            {
                Content = Object(name, arguments, index) ?? arguments,
            };
    }

    /// <summary>A call whose arguments are an object or JSON text, rewritten the way GLM-4 was trained on them:
    /// <c>{"x": [1, 2]}</c>.</summary>
    public Message Converted(string name, JsonElement arguments, int index)
    {
        var text = arguments.ValueKind switch
        {
            JsonValueKind.Undefined or JsonValueKind.Null => "",
            JsonValueKind.String => arguments.GetString()!,
            _ => PythonJson.Write(arguments, indent: null),
        };
        var call = Written(name, text, index);
        return tools.IsBuiltIn(name) || JsonFile.TryParse(call.Content, out var value) is not null
            ? call
            : call with
            {
                Content = PythonJson.Write(value, indent: null),
            };
    }

    /// <summary>The calls in <c>tool_calls</c>, <c>function_call</c> and parts of the content.</summary>
    public IEnumerable<ReadCall> Of(JsonElement message, MessageContent content, int index)
    {
        List<JsonElement> calls = [.. content.Calls];
        if (RowReading.Optional(message, "tool_calls") is { } list)
        {
            calls.AddRange(Items(list, "tool_calls", index));
        }

        if (RowReading.Optional(message, "function_call") is { } single)
        {
            calls.AddRange(Items(single, "function_call", index));
        }

        return calls.Select(call => One(call, index)).OfType<ReadCall>().ToList();
    }

    /// <summary>The calls in content that is JSON: <c>{"name", "arguments"}</c>, or an array of such objects.</summary>
    public IEnumerable<ReadCall> FromText(string text, int index) =>
        reading.Inner(text, index, "the call") is { } value
            ? [.. Items(value, "the call", index).Select(call => One(call, index)).OfType<ReadCall>()]
            : [];

    private List<JsonElement> Items(JsonElement value, string what, int index)
    {
        if (value.ValueKind == JsonValueKind.String)
        {
            if (
                string.IsNullOrWhiteSpace(value.GetString())
                || reading.Inner(value.GetString()!, index, $"'{what}'") is not { } inner
            )
            {
                return [];
            }

            value = inner;
        }

        if (value.ValueKind == JsonValueKind.Object)
        {
            return [value];
        }

        if (value.ValueKind == JsonValueKind.Array)
        {
            return [.. value.EnumerateArray()];
        }

        reading.Problem(index, $"{what} is {JsonFile.Describe(value)}; expected {{\"name\", \"arguments\"}}.");
        return [];
    }

    private ReadCall? One(JsonElement call, int index)
    {
        var function =
            call.ValueKind == JsonValueKind.Object
            && call.TryGetProperty("function", out var inner)
            && inner.ValueKind == JsonValueKind.Object
                ? inner
                : call;
        if (
            function.ValueKind != JsonValueKind.Object
            || RowReading.Optional(function, "name") is not { ValueKind: JsonValueKind.String } name
            || name.GetString() is not { Length: > 0 } named
        )
        {
            var found =
                function.ValueKind == JsonValueKind.Object ? RowReading.Keys(function) : JsonFile.Describe(call);
            reading.Problem(index, $"a tool call without a name; found {found}. Expected {{\"name\", \"arguments\"}}.");
            return null;
        }

        if (named.AsSpan().IndexOfAny('\r', '\n') >= 0)
        {
            reading.Problem(index, "a tool's name contains a line break; names must be on one line.");
            return null;
        }

        var arguments =
            RowReading.Optional(function, "arguments") ?? RowReading.Optional(function, "parameters") ?? default;
        var id = RowReading.Optional(call, "id") is { ValueKind: JsonValueKind.String } text ? text.GetString() : null;
        return new ReadCall(Converted(named, arguments, index), string.IsNullOrEmpty(id) ? null : id);
    }

    // The arguments as the text of one JSON object; null if they are not one.
    private string? Object(string name, string arguments, int index)
    {
        var fault = JsonFile.TryParse(arguments, out var value);
        if (
            fault is null
            && value.ValueKind == JsonValueKind.String
            && JsonFile.TryParse(value.GetString()!, out var inner) is null
            && inner.ValueKind == JsonValueKind.Object
        )
        {
            reading.Notes.Add(Decoded);
            return value.GetString();
        }

        if (fault is null && value.ValueKind == JsonValueKind.Object)
        {
            return arguments;
        }

        var why = fault?.Text ?? $"found {JsonFile.Describe(value)}; expected an object.";
        var shown = arguments.Length <= Shown ? arguments : $"{arguments[..Shown]}…";
        reading.Problem(index, $"the arguments of a call of '{name}' are not a JSON object: {shown} ({why})");
        return null;
    }
}
