using System.Text.Json;

namespace GlmTune.Data.Conversations;

/// <summary>The formats in which an assistant message can call a tool.</summary>
public enum ToolCallStyle
{
    /// <summary>As in the row.</summary>
    AsWritten,

    /// <summary>As GLM-4 writes it: the tool's name as metadata, the arguments as content.</summary>
    Native,

    /// <summary>As in the fine-tuning demo's data: content <c>{"name": …, "arguments": {…}}</c>, no metadata.</summary>
    Json,
}

/// <summary>A tool call, read from a message in either style.</summary>
/// <param name="Name">The tool's name.</param>
/// <param name="Arguments">The arguments as text; those of a function should be a JSON object.</param>
/// <param name="Style">The style in which it was written.</param>
public sealed record ToolCall(string Name, string Arguments, ToolCallStyle Style)
{
    /// <summary>Whether the arguments are one JSON object, as a function requires.</summary>
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

    /// <summary>Arguments of a call written by another program; an empty object if it has none.</summary>
    /// <param name="given">The arguments' text; null, empty or <c>null</c>: none.</param>
    public static string ArgumentsOrNone(string? given) =>
        given is null || given.AsSpan().Trim() is "" or "null" ? "{}" : given;

    /// <summary>The call that a message makes; null if it makes none.</summary>
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

    /// <summary>The message in another style. It is returned unchanged if it makes no call, already has that style, or
    /// has arguments that are not JSON, which only GLM-4's own style can represent.</summary>
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

    // Only an object with exactly these two keys and a single-line name is a call; other JSON is an answer.
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
