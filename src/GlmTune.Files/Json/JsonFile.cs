using System.Text;
using System.Text.Json;

namespace GlmTune.Files.Json;

/// <summary>Reads JSON that people may have edited: one reader for every such file and text, with errors in plain
/// words.</summary>
/// <remarks>A byte order mark is passed over. Duplicate keys, text that is not UTF-8 and unpaired
/// surrogates are errors.</remarks>
public static class JsonFile
{
    /// <summary>The deepest nesting that is read.</summary>
    public const int MaxDepth = 512;

    /// <summary>The largest file that is read whole unless the caller allows more, in bytes: 64 MiB.</summary>
    public const int MaxBytes = 64 << 20;

    /// <summary>Reads a file.</summary>
    /// <param name="path">The file.</param>
    /// <param name="expected">What the file must hold at the top; null for any value.</param>
    /// <param name="maxBytes">The largest file that is read.</param>
    /// <exception cref="InvalidDataException">The file does not exist, it is no regular file, it is too large, it is
    /// what a failed download leaves (<see cref="FileContent"/>), it is not JSON, or it holds another kind of value:
    /// the message begins with the path and says where, what was found and expected.</exception>
    public static JsonElement Read(string path, JsonValueKind? expected = null, int maxBytes = MaxBytes)
    {
        if (Directory.Exists(path))
        {
            throw new InvalidDataException($"{path}: is a folder; expected a JSON file.");
        }

        if (!File.Exists(path))
        {
            throw new InvalidDataException($"{path}: file not found.");
        }

        FileContent.Check(path);
        var size = new FileInfo(path).Length;
        return size > maxBytes
            ? throw new InvalidDataException(
                $"{path}: has {size >> 20} MiB; a file of this kind has at most {maxBytes >> 20} MiB. Is it the right "
                    + "file?"
            )
            : Parse(File.ReadAllBytes(path), path, expected);
    }

    /// <summary>Reads a file that must hold an object.</summary>
    /// <exception cref="InvalidDataException">As for <see cref="Read"/>.</exception>
    public static JsonElement ReadObject(string path) => Read(path, JsonValueKind.Object);

    /// <summary>Reads the bytes of a file.</summary>
    /// <param name="utf8">The bytes.</param>
    /// <param name="name">What errors call it, such as the path.</param>
    /// <param name="expected">What it must hold at the top; null for any value.</param>
    /// <exception cref="InvalidDataException">As for <see cref="Read"/>.</exception>
    public static JsonElement Parse(byte[] utf8, string name, JsonValueKind? expected = null)
    {
        var text = WithoutMark(utf8);
        if (Find(text.Span) is { } fault)
        {
            var (line, character) = fault.PlaceIn(text.Span);
            throw new InvalidDataException(
                text.Span.Trim(" \t\r\n"u8).IsEmpty
                    ? $"{name}: is empty; expected {(expected is { } wanted ? Describe(wanted) : "JSON")}."
                    : $"{name}, line {line}, character {character}: not valid JSON: {fault.Text}"
            );
        }

        var value = ParseChecked(text);
        return expected is null || value.ValueKind == expected
            ? value
            : throw new InvalidDataException($"{name}: found {Describe(value)}; expected {Describe(expected.Value)}.");
    }

    /// <summary>Reads a text.</summary>
    /// <exception cref="InvalidDataException">As for <see cref="Read"/>.</exception>
    public static JsonElement Parse(string text, string name, JsonValueKind? expected = null) =>
        Parse(Encoding.UTF8.GetBytes(text), name, expected);

    /// <summary>Reads a text, without an exception where it is not JSON.</summary>
    /// <param name="utf8">The text, without a byte order mark.</param>
    /// <param name="value">What it holds; undefined where there is a fault.</param>
    /// <returns>The fault, or null.</returns>
    public static JsonFault? TryParse(ReadOnlyMemory<byte> utf8, out JsonElement value)
    {
        var fault = Find(utf8.Span);
        value = fault is null ? ParseChecked(utf8) : default;
        return fault;
    }

    /// <summary>As for bytes; an unpaired surrogate in the text is a fault too.</summary>
    public static JsonFault? TryParse(string text, out JsonElement value)
    {
        // A lone half would become U+FFFD in UTF-8 and pass.
        for (var i = 0; i < text.Length; i++)
        {
            if (char.IsSurrogate(text[i]) && (i + 1 == text.Length || !char.IsSurrogatePair(text[i], text[i + 1])))
            {
                value = default;
                return new JsonFault(
                    Encoding.UTF8.GetByteCount(text.AsSpan(0, i)),
                    "found an unpaired surrogate, which is not a character. Remove it."
                );
            }

            i += char.IsSurrogate(text[i]) ? 1 : 0;
        }

        return TryParse(Encoding.UTF8.GetBytes(text), out value);
    }

    /// <summary>The first fault of a text (UTF-8 without a byte order mark), or null where it is one JSON
    /// value.</summary>
    public static JsonFault? Find(ReadOnlySpan<byte> utf8) => JsonScanner.Find(utf8, MaxDepth);

    /// <summary>A value's kind with its article, for errors: <c>an object</c>, <c>an empty array</c>,
    /// <c>true</c>.</summary>
    public static string Describe(JsonElement value) =>
        value.ValueKind == JsonValueKind.Array && value.GetArrayLength() == 0
            ? "an empty array"
            : Describe(value.ValueKind);

    /// <summary>A kind with its article, for errors.</summary>
    public static string Describe(JsonValueKind kind) =>
        kind switch
        {
            JsonValueKind.Object => "an object",
            JsonValueKind.Array => "an array",
            JsonValueKind.String => "a string",
            JsonValueKind.Number => "a number",
            JsonValueKind.True => "true",
            JsonValueKind.False => "false",
            JsonValueKind.Null => "null",
            _ => "nothing",
        };

    /// <summary>The bytes behind a byte order mark, if there is one.</summary>
    public static ReadOnlyMemory<byte> WithoutMark(byte[] utf8) =>
        utf8.AsSpan().StartsWith("\uFEFF"u8) ? utf8.AsMemory(3) : utf8;

    private static JsonElement ParseChecked(ReadOnlyMemory<byte> text)
    {
        using var document = JsonDocument.Parse(text, new JsonDocumentOptions { MaxDepth = MaxDepth });
        return document.RootElement.Clone();
    }
}
