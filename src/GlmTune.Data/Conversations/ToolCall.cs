using System.Text.Json;

namespace GlmTune.Data.Conversations;

/// <summary>How an assistant message that calls a tool is written.</summary>
public enum ToolCallStyle
{
    /// <summary>As the row has it.</summary>
    AsWritten,

    /// <summary>As GLM-4 itself writes it: the tool's name as metadata, the arguments as content.</summary>
    Native,

    /// <summary>As the fine-tuning demo's data has it: content <c>{"name": …, "arguments": {…}}</c>, no
    /// metadata.</summary>
    Json,
}

/// <summary>A call of a tool, read from a message of either style.</summary>
/// <param name="Name">The tool's name.</param>
/// <param name="Arguments">The arguments as text: of a function call it should be a JSON object.</param>
/// <param name="Style">The style that it was written in.</param>
public sealed record ToolCall(string Name, string Arguments, ToolCallStyle Style)
{
    /// <summary>Whether the arguments are one JSON object, as those of a function must be.</summary>
    public bool HasJsonArguments
    {
        get
        {
            try
            {
                using var document = JsonDocument.Parse(Arguments);
                if (
                    document.RootElement.ValueKind == JsonValueKind.Object
                    && Arguments.Contains("\\u", StringComparison.Ordinal)
                )
                {
                    // Throws on an unpaired surrogate, which is not a character.
                    _ = Templates.PythonJson.Write(document.RootElement, indent: null);
                }

                return document.RootElement.ValueKind == JsonValueKind.Object;
            }
            catch (Exception e) when (e is JsonException or InvalidOperationException)
            {
                return false;
            }
        }
    }

    /// <summary>The arguments of a call that another program wrote: an empty object where it has none.</summary>
    /// <param name="given">Its arguments' text; null, empty or <c>null</c> for none.</param>
    public static string ArgumentsOrNone(string? given) =>
        given is null || given.AsSpan().Trim() is "" or "null" ? "{}" : given;

    /// <summary>The call that a message makes, or null when it makes none.</summary>
    public static ToolCall? Read(Message message)
    {
        if (message.Role != Role.Assistant)
        {
            return null;
        }

        return message.Metadata.Length > 0
            ? new ToolCall(message.Metadata, message.Content, ToolCallStyle.Native)
            : ReadJson(message.Content);
    }

    /// <summary>The message in another style; itself when it makes no call, has that style, or has arguments that are
    /// no JSON, which only GLM-4's own style can hold.</summary>
    public static Message InStyle(Message message, ToolCallStyle style)
    {
        if (
            style == ToolCallStyle.AsWritten
            || Read(message) is not { } call
            || call.Style == style
            || !call.HasJsonArguments
        )
        {
            return message;
        }

        return style == ToolCallStyle.Native
            ? message with
            {
                Metadata = call.Name,
                Content = call.Arguments,
            }
            : message with
            {
                Metadata = "",
                Content = $"{{\"name\": {Templates.PythonJson.Quote(call.Name)}, \"arguments\": {call.Arguments}}}",
            };
    }

    // Only an object of exactly these two members is a call, with a name that could stand on a line; other JSON is an
    // answer.
    private static ToolCall? ReadJson(string content)
    {
        if (
            !content.AsSpan().TrimStart().StartsWith("{")
            || !content.Contains("\"arguments\"", StringComparison.Ordinal)
        )
        {
            return null;
        }

        try
        {
            using var document = JsonDocument.Parse(content);
            var members = document.RootElement.EnumerateObject().ToList();
            return
                members
                    is [
                    { Name: "name", Value.ValueKind: JsonValueKind.String } name,
                    { Name: "arguments", Value.ValueKind: JsonValueKind.Object } arguments,
                    ]
                && name.Value.GetString() is { Length: > 0 } named
                && named.AsSpan().IndexOfAny('\r', '\n') < 0
                ? new ToolCall(named, arguments.Value.GetRawText(), ToolCallStyle.Json)
                : null;
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            return null;
        }
    }
}
