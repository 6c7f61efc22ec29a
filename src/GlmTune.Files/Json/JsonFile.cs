using System.Text;
using System.Text.Json;

namespace GlmTune.Files.Json;

/// <summary>The one reader for JSON that people may have edited; its errors are in plain words.</summary>
/// <remarks>A byte order mark is skipped. Duplicate keys, text that is not UTF-8 and unpaired surrogates are
/// errors.</remarks>
internal static class JsonFile
{
    /// <summary>The deepest nesting that is accepted.</summary>
    public const int MaxDepth = 512;

    /// <summary>Default limit for the size of a file, in bytes: 64 MiB.</summary>
    public const int MaxBytes = RegularFile.MaxBytes;

    /// <summary>Reads a file.</summary>
    /// <param name="path">Path of the file.</param>
    /// <param name="expected">The kind of value that the file must hold; null for any.</param>
    /// <param name="maxBytes">The largest size accepted, in bytes.</param>
    /// <exception cref="InvalidDataException">The file does not exist, is not a regular file, is too large, is the
    /// result of a failed download (<see cref="FileContent"/>), is not JSON, or holds another kind of value. The
    /// message starts with the path and says where, what was found and what was expected.</exception>
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
        return Parse(RegularFile.ReadBytes(path, maxBytes), path, expected);
    }

    /// <summary>Reads a file that must hold an object.</summary>
    /// <exception cref="InvalidDataException">As for <see cref="Read"/>.</exception>
    public static JsonElement ReadObject(string path) => Read(path, JsonValueKind.Object);

    /// <summary>Parses the bytes of a file.</summary>
    /// <param name="utf8">The bytes.</param>
    /// <param name="name">What errors call it, such as its path.</param>
    /// <param name="expected">The kind of value that it must hold; null for any.</param>
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

    /// <summary>Parses a string.</summary>
    /// <exception cref="InvalidDataException">As for <see cref="Read"/>.</exception>
    public static JsonElement Parse(string text, string name, JsonValueKind? expected = null) =>
        Parse(Encoding.UTF8.GetBytes(text), name, expected);

    /// <summary>Parses a text; returns the fault instead of throwing.</summary>
    /// <param name="utf8">The text, without a byte order mark.</param>
    /// <param name="value">The parsed value; undefined if there is a fault.</param>
    /// <param name="maxDepth">The deepest nesting accepted, up to <see cref="MaxDepth"/>.</param>
    /// <returns>The fault, or null.</returns>
    public static JsonFault? TryParse(ReadOnlyMemory<byte> utf8, out JsonElement value, int maxDepth = MaxDepth)
    {
        var fault = JsonScanner.Find(utf8.Span, maxDepth);
        value = fault is null ? ParseChecked(utf8) : default;
        return fault;
    }

    /// <summary>Like the overload for bytes; an unpaired surrogate in the text is also a fault.</summary>
    public static JsonFault? TryParse(string text, out JsonElement value)
    {
        // An unpaired surrogate would be encoded as U+FFFD and go unnoticed.
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

    /// <summary>The first fault of a text (UTF-8 without a byte order mark), or null if it is a single valid JSON
    /// value.</summary>
    public static JsonFault? Find(ReadOnlySpan<byte> utf8) => JsonScanner.Find(utf8, MaxDepth);

    /// <summary>A value's kind with its article, for error messages: <c>an object</c>, <c>an empty array</c>,
    /// <c>true</c>.</summary>
    public static string Describe(JsonElement value) =>
        value.ValueKind == JsonValueKind.Array && value.GetArrayLength() == 0
            ? "an empty array"
            : Describe(value.ValueKind);

    /// <summary>A kind with its article, for error messages.</summary>
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

    /// <summary>The bytes after the byte order mark, if there is one.</summary>
    public static ReadOnlyMemory<byte> WithoutMark(byte[] utf8) =>
        utf8.AsSpan().StartsWith("\uFEFF"u8) ? utf8.AsMemory(3) : utf8;

    private static JsonElement ParseChecked(ReadOnlyMemory<byte> text)
    {
        using var document = JsonDocument.Parse(text, new JsonDocumentOptions { MaxDepth = MaxDepth });
        return document.RootElement.Clone();
    }
}
