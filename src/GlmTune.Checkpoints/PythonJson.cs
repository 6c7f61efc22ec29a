using System.Buffers;
using System.Text.Json;
using GlmTune.Files.Json;

namespace GlmTune.Checkpoints;

/// <summary>JSON as Python writes it: non-finite numbers are bare words (<c>NaN</c>, <c>-Infinity</c>), which JSON does
/// not allow. They are read as null.</summary>
internal static class PythonJson
{
    private static readonly SearchValues<byte> Interesting = SearchValues.Create("\"NI"u8);

    /// <summary>Parses the bytes of a file.</summary>
    /// <param name="utf8">The bytes.</param>
    /// <param name="name">What errors call it, such as its path.</param>
    /// <param name="expected">The kind of value that it must hold; null for any.</param>
    /// <exception cref="InvalidDataException">It is otherwise not valid JSON, or holds another kind of
    /// value.</exception>
    public static JsonElement Parse(byte[] utf8, string name, JsonValueKind? expected = null) =>
        JsonFile.Parse(WithoutBareWords(utf8), name, expected);

    /// <summary>The text with every bare word replaced by <c>null</c>; the same array if there is none.</summary>
    public static byte[] WithoutBareWords(byte[] text)
    {
        ArrayBufferWriter<byte>? changed = null;
        var (copied, at) = (0, 0);
        while (text.AsSpan(at).IndexOfAny(Interesting) is >= 0 and var skipped)
        {
            at += skipped;
            if (text[at] == (byte)'"')
            {
                at = EndOfString(text, at);
                continue;
            }

            var rest = text.AsSpan(at);
            var length =
                rest.StartsWith("NaN"u8) ? 3
                : rest.StartsWith("Infinity"u8) ? 8
                : 0;
            if (length == 0)
            {
                at++;
                continue;
            }

            var start = at > copied && text[at - 1] == (byte)'-' ? at - 1 : at;
            changed ??= new ArrayBufferWriter<byte>(text.Length + 64);
            changed.Write(text.AsSpan(copied, start - copied));
            changed.Write("null"u8);
            copied = at += length;
        }

        if (changed is null)
        {
            return text;
        }

        changed.Write(text.AsSpan(copied));
        return changed.WrittenSpan.ToArray();
    }

    private static int EndOfString(byte[] text, int start)
    {
        var at = start + 1;
        while (at < text.Length && text[at] != (byte)'"')
        {
            at += text[at] == (byte)'\\' ? 2 : 1;
        }

        return Math.Min(text.Length, at + 1);
    }
}
