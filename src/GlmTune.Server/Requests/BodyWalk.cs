using System.Buffers;
using System.Buffers.Text;
using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Unicode;

namespace GlmTune.Server;

/// <summary>Scans a request body once before any object is created from it: it must be JSON in UTF-8, all names and
/// strings must be valid text, and all counts must be within limits.</summary>
/// <remarks>Later code may read every name and string, and create an object per message, without further checks. The
/// scan itself uses no memory that grows with the body.</remarks>
internal ref struct BodyWalk
{
    private readonly ReadOnlySpan<byte> body;
    private readonly ServerLimits limits;
    private readonly Level[] levels;
    private readonly Rule[] rules;
    private int depth; // Open levels.

    private BodyWalk(ReadOnlySpan<byte> body, ServerLimits limits)
    {
        this.body = body;
        this.limits = limits;
        levels = new Level[limits.JsonDepth + 1];
        rules =
        [
            new(null, "messages", limits.Messages, "messages"),
            new(null, "tools", limits.Tools, "tools"),
            new(null, "stop", limits.StopTexts, "texts"),
            new("messages", "tool_calls", limits.ToolCalls, "tool calls in all"),
            new("messages", "content", limits.ContentParts, "content parts in all"),
        ];
    }

    /// <summary>Checks a body.</summary>
    /// <param name="body">The bytes, without a byte order mark.</param>
    /// <param name="limits">The limits.</param>
    /// <exception cref="ApiException">400: what is wrong, and where.</exception>
    public static void Check(ReadOnlySpan<byte> body, ServerLimits limits)
    {
        if (!Utf8.IsValid(body))
        {
            throw NotUtf8(body);
        }

        if (body.IndexOfAnyExcept(" \t\r\n"u8) < 0)
        {
            throw new ApiException(StatusCodes.Status400BadRequest, "The body is empty; expected a JSON object.");
        }

        try
        {
            new BodyWalk(body, limits).Run();
        }
        catch (JsonException e)
        {
            var quoted = body.TrimStart(" \t\r\n"u8) is [(byte)'\'', ..];
            throw new ApiException(
                StatusCodes.Status400BadRequest,
                $"The body is not JSON, or nested deeper than {limits.JsonDepth} levels (line {e.LineNumber + 1}, byte "
                    + $"{e.BytePositionInLine + 1})."
                    + (quoted ? " It begins with an apostrophe: the Windows console needs \"…\" around it." : "")
            );
        }
    }

    private void Run()
    {
        var reader = new Utf8JsonReader(body, new JsonReaderOptions { MaxDepth = limits.JsonDepth });
        var values = 0;
        while (reader.Read())
        {
            if (reader.TokenType is JsonTokenType.EndArray or JsonTokenType.EndObject)
            {
                depth--;
                continue;
            }

            if (++values > limits.JsonValues)
            {
                throw new ApiException(
                    StatusCodes.Status400BadRequest,
                    $"The body contains more than {limits.JsonValues} JSON values."
                );
            }

            if (reader.TokenType == JsonTokenType.PropertyName)
            {
                if (reader.ValueIsEscaped && HasHalfPair(reader.ValueSpan))
                {
                    var (place, param) = Locate(depth - 1);
                    throw new ApiException(
                        StatusCodes.Status400BadRequest,
                        $"{place} has a member whose name contains an unpaired surrogate, which is not a "
                            + "character.",
                        param
                    );
                }

                ref var level = ref levels[depth - 1];
                (level.NameStart, level.NameLength) = ((int)reader.TokenStartIndex + 1, reader.ValueSpan.Length);
                continue;
            }

            CountElement();
            if (reader.TokenType is JsonTokenType.StartArray or JsonTokenType.StartObject)
            {
                Open(reader.TokenType == JsonTokenType.StartArray);
            }
            else if (
                reader is { TokenType: JsonTokenType.String, ValueIsEscaped: true }
                && HasHalfPair(reader.ValueSpan)
            )
            {
                var (place, param) = Locate(depth);
                throw new ApiException(
                    StatusCodes.Status400BadRequest,
                    $"{place} contains an unpaired surrogate, which is not a character.",
                    param
                );
            }
        }

        var problems = new FieldProblems();
        foreach (var rule in rules)
        {
            problems.Check(
                rule.Count <= rule.Max,
                rule.Parent ?? rule.Name,
                $"has {rule.Count} {rule.Noun}; expected at most {rule.Max}"
            );
        }

        problems.ThrowIfAny();
    }

    private readonly void CountElement()
    {
        if (depth > 0 && levels[depth - 1].IsArray)
        {
            ref var level = ref levels[depth - 1];
            level.Index++;
            if (level.Rule >= 0)
            {
                rules[level.Rule].Count++;
            }
        }
    }

    private void Open(bool isArray)
    {
        var rule = -1;
        for (var i = 0; isArray && i < rules.Length && rule < 0; i++)
        {
            var applies = rules[i].Parent is { } parent
                ? depth == 3 && IsNamed(0, parent) && levels[1].IsArray && IsNamed(2, rules[i].Name)
                : depth == 1 && IsNamed(0, rules[i].Name);
            rule = applies ? i : -1;
        }

        levels[depth++] = new Level
        {
            IsArray = isArray,
            Index = -1,
            Rule = rule,
        };
    }

    // Whether the current member of an open object has this name.
    private readonly bool IsNamed(int level, string name) =>
        !levels[level].IsArray
        && levels[level].NameLength == name.Length
        && Ascii.Equals(body.Slice(levels[level].NameStart, levels[level].NameLength), name);

    // The current location, down to a level: "'messages[2].content'", or "The body".
    private readonly (string Text, string? Param) Locate(int levelCount)
    {
        var path = new StringBuilder();
        for (var i = 0; i < levelCount; i++)
        {
            var level = levels[i];
            if (level.IsArray)
            {
                path.Append(CultureInfo.InvariantCulture, $"[{level.Index}]");
            }
            else
            {
                path.Append(path.Length > 0 ? "." : "")
                    .Append(Encoding.UTF8.GetString(body.Slice(level.NameStart, level.NameLength)));
            }
        }

        var shown = Printable.Of(path.ToString());
        return shown.Length == 0 ? ("The body", null) : ($"'{shown}'", shown);
    }

    // Text between quotation marks, whose escapes are known to be valid.
    private static bool HasHalfPair(ReadOnlySpan<byte> text)
    {
        var awaitsLow = false;
        for (var i = 0; i < text.Length;)
        {
            var code = 0;
            var length = 1;
            if (text[i] == (byte)'\\')
            {
                length = text[i + 1] == (byte)'u' ? 6 : 2;
                if (length == 6)
                {
                    _ = Utf8Parser.TryParse(text.Slice(i + 2, 4), out code, out _, 'x');
                }
            }

            if (awaitsLow != char.IsLowSurrogate((char)code))
            {
                return true;
            }

            awaitsLow = char.IsHighSurrogate((char)code);
            i += length;
        }

        return awaitsLow;
    }

    private static ApiException NotUtf8(ReadOnlySpan<byte> body)
    {
        var at = 0;
        while (Rune.DecodeFromUtf8(body[at..], out _, out var length) == OperationStatus.Done)
        {
            at += length;
        }

        return new ApiException(
            StatusCodes.Status400BadRequest,
            $"The body is not UTF-8 (byte {at + 1} is 0x{body[at]:X2}). Save or send it as UTF-8; a Windows "
                + "console may use another encoding, such as GBK, until you run 'chcp 65001'."
        );
    }

    private struct Level
    {
        public bool IsArray;
        public int Index; // Index of the current element of an array.
        public int Rule; // Index of the rule that limits the elements of an array; −1: none does.
        public int NameStart; // Name of the current member of an object.
        public int NameLength;
    }

    // A list with a limited number of elements: a member of the body, or, with a parent, of every element of such a
    // list.
    private sealed class Rule(string? parent, string name, int most, string noun)
    {
        public string? Parent => parent;

        public string Name => name;

        public int Max => most;

        public string Noun => noun;

        public int Count { get; set; }
    }
}
