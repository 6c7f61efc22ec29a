using System.Text.Json;
using GlmTune.Data.Conversations;
using GlmTune.Data.Templates;

namespace GlmTune.Inference;

/// <summary>Preserves the form in which the model wrote a call across a protocol that transports only name, arguments
/// and id: the form is encoded in the id.</summary>
/// <remarks><para>A continued conversation should contain a call in exactly the tokens that the model generated: a
/// different form would be imitated in later turns, and the original tokens are still in the KV cache. The protocol
/// transports the arguments verbatim; what surrounded them is one of a few known forms, encoded in the id unless it is
/// the usual one.</para>
/// <para>The usual form, also assumed for ids of other programs, is GLM-4's own: the name on the first line, then the
/// arguments; for the model's built-in tools (<see cref="ToolDefinition.BuiltIn"/>) their text instead of
/// JSON.</para></remarks>
internal static class WrittenCall
{
    private const int MaxLength = 40;
    private const string Usual = "";
    private const string Fence = "f";
    private const string Text = "x";
    private const string Object = "o";

    // {"name": …, "arguments": …} as content, by the white space around its parts.
    private static readonly Dictionary<string, (string Open, string Colon, string Comma, string Close)> Layouts = new(
        StringComparer.Ordinal
    )
    {
        ["j"] = ("{", ": ", ", ", "}"),
        ["c"] = ("{", ":", ",", "}"),
        ["i2"] = ("{\n  ", ": ", ",\n  ", "\n}"),
        ["i4"] = ("{\n    ", ": ", ",\n    ", "\n}"),
    };

    /// <summary>The form of a call.</summary>
    /// <param name="call">The call.</param>
    /// <param name="message">The message that makes it, as the model wrote it.</param>
    /// <returns>A few letters, or an empty text for the usual form; if the form is unknown, the nearest known
    /// one.</returns>
    public static string FormOf(ToolCall call, Message message)
    {
        var isBuiltIn = ToolDefinition.BuiltIn.Contains(call.Name);
        string[] forms =
            call.Style == ToolCallStyle.Json ? [.. Layouts.Keys]
            : isBuiltIn ? [Text, Object]
            : [Usual];
        return forms
                .Concat(forms.Select(form => $"{Fence}{form}"))
                .FirstOrDefault(form => Message(form, call.Name, call.Arguments) == Plain(message))
            ?? forms[0];
    }

    /// <summary>A new id that encodes a form: at most 40 characters, like those of OpenAI's servers.</summary>
    public static string NewId(string form) =>
        form.Length == 0 ? $"call_{Guid.NewGuid():N}" : $"call_{form}_{$"{Guid.NewGuid():N}"[..24]}";

    /// <summary>The message that makes a call.</summary>
    /// <param name="id">Id of the call; may be from another program, or null.</param>
    /// <param name="name">Name of the tool.</param>
    /// <param name="arguments">The arguments' text.</param>
    /// <param name="isBuiltIn">Whether the name refers to a built-in tool of the model in this conversation, not to a
    /// function.</param>
    public static Message Message(string? id, string name, string arguments, bool isBuiltIn)
    {
        var parts = id is { Length: <= MaxLength } ? id.Split('_') : [];
        return (parts is ["call", var form, { Length: > 0 }] ? Message(form, name, arguments) : null)
            ?? (isBuiltIn ? Message(Text, name, arguments) : null)
            ?? Message(Usual, name, arguments)!;
    }

    // null: an unknown form, or one that cannot represent these arguments.
    private static Message? Message(string form, string name, string arguments)
    {
        if (
            form.StartsWith(Fence, StringComparison.Ordinal)
            && form[Fence.Length..] is var fenced
            && !fenced.StartsWith(Fence, StringComparison.Ordinal)
        )
        {
            return Message(fenced, name, arguments) is { } inner
                ? inner with
                {
                    Content = $"```json\n{inner.Content}\n```",
                }
                : null;
        }

        if (Layouts.TryGetValue(form, out var layout))
        {
            return new ToolCall(name, arguments, ToolCallStyle.Json).HasJsonArguments
                ? new Message(
                    Role.Assistant,
                    $"{layout.Open}\"name\"{layout.Colon}{PythonJson.Quote(name)}{layout.Comma}"
                        + $"\"arguments\"{layout.Colon}{arguments}{layout.Close}"
                )
                : null;
        }

        var content =
            form is Usual or Object ? arguments
            : form == Text ? TextOf(name, arguments)
            : null;
        return content is null ? null : new Message(Role.Assistant, content) { Metadata = name };
    }

    private static Message Plain(Message message) => new(message.Role, message.Content) { Metadata = message.Metadata };

    // The inverse of ToolCallParser's conversion to JSON.
    private static string? TextOf(string name, string arguments)
    {
        try
        {
            using var document = JsonDocument.Parse(arguments);
            var members =
                document.RootElement.ValueKind == JsonValueKind.Object
                    ? document.RootElement.EnumerateObject().ToList()
                    : [];
            return (name, members) switch
            {
                ("cogview", [{ Name: "prompt", Value.ValueKind: JsonValueKind.String } prompt]) =>
                    prompt.Value.GetString(),
                ("simple_browser", [{ Name: "query", Value.ValueKind: JsonValueKind.String } query]) =>
                    $"search({PythonJson.Quote(query.Value.GetString()!)})",
                (
                    "simple_browser",
                    [
                    { Name: "query", Value.ValueKind: JsonValueKind.String } query,
                    { Name: "recency_days", Value.ValueKind: JsonValueKind.Number } days,
                    ]
                ) => $"search({PythonJson.Quote(query.Value.GetString()!)}, recency_days={days.Value.GetRawText()})",
                (not "cogview", [{ Name: "code", Value.ValueKind: JsonValueKind.String } code]) =>
                    code.Value.GetString(),
                _ => null,
            };
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            return null;
        }
    }
}
