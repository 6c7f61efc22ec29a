using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace GlmTune.Data.Conversations;

/// <summary>Tool calls as ChatGLM3 writes them: Python that calls <c>tool_call</c> with the arguments by name, in a
/// code fence.</summary>
/// <remarks>It is read, never run: only calls with literal values are.</remarks>
internal static class PythonCall
{
    private const string Open = "```python\n";
    private const string Close = "\n```";
    private const string Function = "tool_call(";

    // As deep as JSON may be.
    private const int MaxDepth = 64;

    /// <summary>A call with JSON arguments as ChatGLM3 writes it; other messages unchanged.</summary>
    public static Message InStyle(Message message) =>
        message.Role == Role.Assistant
        && message.Metadata.Length > 0
        && ToolCall.Read(message) is { HasJsonArguments: true } call
        && Write(call.Arguments) is { } written
            ? message with
            {
                Content = written,
            }
            : message;

    /// <summary>Writes arguments; null if a name is no Python identifier.</summary>
    /// <param name="arguments">A JSON object.</param>
    public static string? Write(string arguments)
    {
        using var document = JsonDocument.Parse(arguments);
        var text = new StringBuilder(Open).Append(Function);
        var first = true;
        foreach (var member in document.RootElement.EnumerateObject())
        {
            if (!IsName(member.Name))
            {
                return null;
            }

            text.Append(first ? "" : ", ").Append(member.Name).Append('=');
            Append(text, member.Value);
            first = false;
        }

        return text.Append(')').Append(Close).ToString();
    }

    /// <summary>The arguments of a call as a JSON object; null if the text is no such call.</summary>
    public static string? Read(string content)
    {
        var text = content.Trim();
        if (
            !text.StartsWith("```python", StringComparison.Ordinal)
            || !text.EndsWith("```", StringComparison.Ordinal)
            || text.Length < Open.Length + Close.Length
        )
        {
            return null;
        }

        var reader = new Reader(text["```python".Length..^3].Trim());
        return reader.Arguments()?.ToJsonString(Relaxed);
    }

    private static readonly JsonSerializerOptions Relaxed = new()
    {
        Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };

    private static bool IsName(string name) =>
        name.Length > 0 && !char.IsDigit(name[0]) && name.All(c => char.IsLetterOrDigit(c) || c == '_');

    private static void Append(StringBuilder text, JsonElement value)
    {
        switch (value.ValueKind)
        {
            case JsonValueKind.String:
                AppendString(text, value.GetString()!);
                break;
            case JsonValueKind.Array:
                text.Append('[');
                foreach (var (index, item) in value.EnumerateArray().Index())
                {
                    text.Append(index == 0 ? "" : ", ");
                    Append(text, item);
                }

                text.Append(']');
                break;
            case JsonValueKind.Object:
                text.Append('{');
                foreach (var (index, member) in value.EnumerateObject().Index())
                {
                    text.Append(index == 0 ? "" : ", ");
                    AppendString(text, member.Name);
                    text.Append(": ");
                    Append(text, member.Value);
                }

                text.Append('}');
                break;
            default:
                text.Append(
                    value.ValueKind switch
                    {
                        JsonValueKind.True => "True",
                        JsonValueKind.False => "False",
                        JsonValueKind.Null => "None",
                        _ => value.GetRawText(),
                    }
                );
                break;
        }
    }

    // As Python's repr: in single quotes, unless only those are inside.
    private static void AppendString(StringBuilder text, string value)
    {
        var quote =
            value.Contains('\'', StringComparison.Ordinal) && !value.Contains('"', StringComparison.Ordinal)
                ? '"'
                : '\'';
        text.Append(quote);
        foreach (var c in value)
        {
            _ = c switch
            {
                '\\' => text.Append("\\\\"),
                '\n' => text.Append("\\n"),
                '\r' => text.Append("\\r"),
                '\t' => text.Append("\\t"),
                _ when c == quote => text.Append('\\').Append(c),
                _ when char.IsControl(c) => text.Append(CultureInfo.InvariantCulture, $"\\x{(int)c:x2}"),
                _ => text.Append(c),
            };
        }

        text.Append(quote);
    }

    // Reads literals; null, or a missing value, means that the text is something else.
    private sealed class Reader(string text)
    {
        private int at;

        public JsonObject? Arguments()
        {
            if (!Take(Function))
            {
                return null;
            }

            var result = new JsonObject();
            SkipSpace();
            while (!Take(")"))
            {
                var start = at;
                while (at < text.Length && (char.IsLetterOrDigit(text[at]) || text[at] == '_'))
                {
                    at++;
                }

                var name = text[start..at];
                SkipSpace();
                if (!IsName(name) || result.ContainsKey(name) || !Take("="))
                {
                    return null;
                }

                if (!Value(0, out var value))
                {
                    return null;
                }

                result[name] = value;
                if (!Take(",") && !Peek(')'))
                {
                    return null;
                }

                SkipSpace();
            }

            return at == text.Length ? result : null;
        }

        private bool Value(int depth, out JsonNode? value)
        {
            value = null;
            SkipSpace();
            if (at == text.Length || depth > MaxDepth)
            {
                return false;
            }

            var read = text[at] switch
            {
                '\'' or '"' => String(out value),
                '[' or '(' => Items(depth, out value),
                '{' => Members(depth, out value),
                _ => Word(out value),
            };
            SkipSpace();
            return read;
        }

        private bool Items(int depth, out JsonNode? value)
        {
            var end = text[at++] == '[' ? ']' : ')';
            var list = new JsonArray();
            value = list;
            SkipSpace();
            while (!Take($"{end}"))
            {
                if (!Value(depth + 1, out var item))
                {
                    return false;
                }

                list.Add(item);
                if (!Take(",") && !Peek(end))
                {
                    return false;
                }

                SkipSpace();
            }

            return true;
        }

        private bool Members(int depth, out JsonNode? value)
        {
            at++;
            var map = new JsonObject();
            value = map;
            SkipSpace();
            while (!Take("}"))
            {
                if (!(Peek('\'') || Peek('"')) || !String(out var name) || map.ContainsKey(name!.GetValue<string>()))
                {
                    return false;
                }

                SkipSpace();
                if (!Take(":") || !Value(depth + 1, out var item))
                {
                    return false;
                }

                map[name.GetValue<string>()] = item;
                if (!Take(",") && !Peek('}'))
                {
                    return false;
                }

                SkipSpace();
            }

            return true;
        }

        private bool String(out JsonNode? value)
        {
            value = null;
            var quote = text[at++];
            var result = new StringBuilder();
            while (at < text.Length && text[at] != quote)
            {
                if (text[at] != '\\')
                {
                    result.Append(text[at++]);
                    continue;
                }

                if (!Escape(result))
                {
                    return false;
                }
            }

            if (at++ >= text.Length)
            {
                return false;
            }

            value = JsonValue.Create(result.ToString());
            return true;
        }

        private bool Escape(StringBuilder result)
        {
            at++;
            if (at == text.Length)
            {
                return false;
            }

            var kind = text[at++];
            var digits = kind switch
            {
                'x' => 2,
                'u' => 4,
                _ => 0,
            };
            if (digits > 0)
            {
                if (
                    at + digits > text.Length
                    || !int.TryParse(
                        text.AsSpan(at, digits),
                        NumberStyles.AllowHexSpecifier,
                        CultureInfo.InvariantCulture,
                        out var code
                    )
                )
                {
                    return false;
                }

                result.Append((char)code);
                at += digits;
                return true;
            }

            switch (kind)
            {
                case 'n':
                    result.Append('\n');
                    return true;
                case 'r':
                    result.Append('\r');
                    return true;
                case 't':
                    result.Append('\t');
                    return true;
                case '\\' or '\'' or '"':
                    result.Append(kind);
                    return true;
                default:
                    // Python keeps the backslash of an unknown escape.
                    result.Append('\\').Append(kind);
                    return true;
            }
        }

        // A number or a constant.
        private bool Word(out JsonNode? value)
        {
            var start = at;
            while (at < text.Length && (char.IsLetterOrDigit(text[at]) || text[at] is '.' or '+' or '-' or '_'))
            {
                at++;
            }

            var word = text[start..at];
            value = null;
            switch (word)
            {
                case "True" or "true":
                    value = JsonValue.Create(true);
                    return true;
                case "False" or "false":
                    value = JsonValue.Create(false);
                    return true;
                case "None" or "null":
                    return true;
            }

            try
            {
                value = word.Length > 0 && word[0] is '-' or (>= '0' and <= '9') ? JsonNode.Parse(word) : null;
            }
            catch (JsonException)
            {
                return false;
            }

            return value is not null;
        }

        private bool Take(string expected)
        {
            if (!text.AsSpan(at).StartsWith(expected, StringComparison.Ordinal))
            {
                return false;
            }

            at += expected.Length;
            return true;
        }

        private bool Peek(char c) => at < text.Length && text[at] == c;

        private void SkipSpace()
        {
            while (at < text.Length && char.IsWhiteSpace(text[at]))
            {
                at++;
            }
        }
    }
}
