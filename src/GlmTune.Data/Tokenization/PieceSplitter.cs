using System.Globalization;
using System.Text;

namespace GlmTune.Data.Tokenization;

/// <summary>Splits text into the pieces that byte-pair merging must not cross, like GLM-4's regular
/// expression.</summary>
/// <remarks>Works on Unicode scalars, because .NET's regular expressions see UTF-16 units, and letters and digits
/// beyond U+FFFF would take the wrong branch. White space is Unicode's White_Space; contractions ignore case in every
/// culture, and a long s counts as s. The branches below are the alternatives of the expression
/// (<see cref="Pattern"/>), in the same order.</remarks>
internal static class PieceSplitter
{
    /// <summary>The regular expression that this class implements, as <c>tokenizer.json</c> contains it.</summary>
    public const string Pattern =
        @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
        + @"|\s*[\r\n]+|\s+(?!\S)|\s+";

    private enum Kind
    {
        Letter,
        Number,
        Space,
        Other,
    }

    /// <summary>The pieces of <paramref name="text"/> in order, without gaps, as ranges of UTF-16 units.</summary>
    public static List<(int Offset, int Length)> Split(ReadOnlySpan<char> text)
    {
        var pieces = new List<(int, int)>(text.Length / 3 + 1);
        for (var start = 0; start < text.Length;)
        {
            var end = EndOfPiece(text, start);
            pieces.Add((start, end - start));
            start = end;
        }

        return pieces;
    }

    private static int EndOfPiece(ReadOnlySpan<char> text, int start)
    {
        var contraction = Contraction(text[start..]);
        if (contraction > 0)
        {
            return start + contraction;
        }

        var first = Classify(text, start, out var afterFirst);
        var second = afterFirst < text.Length ? Classify(text, afterFirst, out _) : Kind.Space;
        if (first == Kind.Letter)
        {
            return EndOfRun(text, afterFirst, Kind.Letter);
        }

        if (first == Kind.Number)
        {
            return EndOfRun(text, afterFirst, Kind.Number, atMost: 2);
        }

        if (second == Kind.Letter && afterFirst < text.Length && !IsNewline(text[start]))
        {
            return EndOfRun(text, afterFirst, Kind.Letter);
        }

        if (first == Kind.Other || (text[start] == ' ' && second == Kind.Other && afterFirst < text.Length))
        {
            var end = EndOfRun(text, afterFirst, Kind.Other);
            while (end < text.Length && IsNewline(text[end]))
            {
                end++;
            }

            return end;
        }

        return EndOfSpace(text, start, afterFirst);
    }

    private static int EndOfSpace(ReadOnlySpan<char> text, int start, int afterFirst)
    {
        // Every White_Space scalar is one UTF-16 unit, so counting units is correct here.
        var end = EndOfRun(text, afterFirst, Kind.Space);
        var lastNewline = text[start..end].LastIndexOfAny('\r', '\n');
        if (lastNewline >= 0)
        {
            return start + lastNewline + 1;
        }

        // The last space before a word belongs to the word's piece, unless it is the only one.
        return end == text.Length || end == afterFirst ? end : end - 1;
    }

    private static int EndOfRun(ReadOnlySpan<char> text, int start, Kind kind, int atMost = int.MaxValue)
    {
        while (start < text.Length && atMost-- > 0 && Classify(text, start, out var next) == kind)
        {
            start = next;
        }

        return start;
    }

    private static int Contraction(ReadOnlySpan<char> text)
    {
        if (text.Length < 2 || text[0] != '\'')
        {
            return 0;
        }

        var first = char.ToLowerInvariant(text[1]);
        if (first is 's' or 't' or 'm' or 'd' || text[1] == '\u017F')
        {
            return 2;
        }

        var second = text.Length > 2 ? char.ToLowerInvariant(text[2]) : '\0';
        return (first, second) is ('r', 'e') or ('v', 'e') or ('l', 'l') ? 3 : 0;
    }

    private static Kind Classify(ReadOnlySpan<char> text, int at, out int next)
    {
        if (Rune.DecodeFromUtf16(text[at..], out var rune, out var length) != System.Buffers.OperationStatus.Done)
        {
            rune = Rune.ReplacementChar; // An unpaired surrogate is encoded as U+FFFD, so it is split as one.
        }

        next = at + length;
        if (Rune.IsWhiteSpace(rune))
        {
            return Kind.Space;
        }

        return Rune.GetUnicodeCategory(rune) switch
        {
            UnicodeCategory.UppercaseLetter
            or UnicodeCategory.LowercaseLetter
            or UnicodeCategory.TitlecaseLetter
            or UnicodeCategory.ModifierLetter
            or UnicodeCategory.OtherLetter => Kind.Letter,
            UnicodeCategory.DecimalDigitNumber or UnicodeCategory.LetterNumber or UnicodeCategory.OtherNumber =>
                Kind.Number,
            _ => Kind.Other,
        };
    }

    private static bool IsNewline(char c) => c is '\r' or '\n';
}
