using System.Buffers;
using System.Text;

namespace GlmTune.Files.Json;

/// <summary>Describes what was found where JSON requires something else, with hints for common mistakes.</summary>
internal static class JsonFound
{
    private const int WordShown = 20;

    /// <summary>One or two sentences: what was found, what was expected, what to do.</summary>
    /// <param name="text">Valid UTF-8.</param>
    /// <param name="at">Offset of a byte inside the text.</param>
    /// <param name="expected">What the grammar requires there.</param>
    public static string Describe(ReadOnlySpan<byte> text, int at, string expected)
    {
        var rest = text[at..];
        if (rest.StartsWith("//"u8) || rest.StartsWith("/*"u8) || rest[0] == '#')
        {
            return "found a comment; JSON has none. Remove it.";
        }

        var found = CharacterAt(text, at);
        return found switch
        {
            "'" => $"found ' (a single quote); expected {expected}. JSON's strings and keys are in double quotes (\").",
            "“" or "”" or "„" or "‟" or "‘" or "’" or "＂" or "「" or "」" =>
                $"found {found} (a typographic quotation mark); expected {expected}. Write a plain \".",
            "，" or "、" => $"found {found} (a full-width comma); expected {expected}. Write a plain comma.",
            "：" => $"found {found} (a full-width colon); expected {expected}. Write a plain colon.",
            "｛" or "｝" or "［" or "］" or "【" or "】" =>
                $"found {found} (a full-width bracket); expected {expected}. Write a plain bracket.",
            _ => Word(text, at) switch
            {
                "NaN" or "Infinity" or "-Infinity" or "inf" or "-inf" or "nan" =>
                    $"found {Word(text, at)}; JSON has no such number. Write null, or leave the key out.",
                "None" => "found None (Python's word); write null.",
                "True" or "TRUE" => $"found {Word(text, at)}; write true.",
                "False" or "FALSE" => $"found {Word(text, at)}; write false.",
                "undefined" => "found undefined; write null.",
                _ => $"found {At(text, at)}; expected {expected}.",
            },
        };
    }

    /// <summary>A short description of what is at an offset: a word, or a character.</summary>
    public static string At(ReadOnlySpan<byte> text, int at)
    {
        var word = Word(text, at);
        return word.Length > 1
            ? $"'{(word.Length > WordShown ? word[..WordShown] + "…" : word)}'"
            : CharacterAt(text, at);
    }

    /// <summary>The character at an offset; control characters by their code.</summary>
    public static string CharacterAt(ReadOnlySpan<byte> text, int at) =>
        Rune.DecodeFromUtf8(text[at..], out var rune, out _) == OperationStatus.Done
            ? Rune.IsControl(rune) || Rune.IsWhiteSpace(rune)
                ? $"U+{rune.Value:X4}"
                : rune.ToString()
            : $"byte 0x{text[at]:X2}";

    /// <summary>Whether the character at an offset continues a word.</summary>
    public static bool IsWordAt(ReadOnlySpan<byte> text, int at) => at < text.Length && IsWord(text[at]);

    private static string Word(ReadOnlySpan<byte> text, int at)
    {
        var length = text[at] == '-' ? 1 : 0;
        while (length <= WordShown && IsWordAt(text, at + length))
        {
            length++;
        }

        return Encoding.ASCII.GetString(text.Slice(at, length));
    }

    private static bool IsWord(byte character) => char.IsAsciiLetterOrDigit((char)character) || character == '_';
}
