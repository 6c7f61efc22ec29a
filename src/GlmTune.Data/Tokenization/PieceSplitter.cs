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

    /// <summary>The end of the piece that starts at a position. The piece after it starts there.</summary>
    /// <param name="text">The text, in UTF-16 units.</param>
    /// <param name="start">Start of a piece; less than the length.</param>
    public static int EndOfPiece(ReadOnlySpan<char> text, int start)
    {
        if (text[start] == '\'' && Contraction(text[start..]) is > 0 and var contraction)
        {
            return start + contraction;
        }

        var first = CharacterKinds.At(text, start, out var afterFirst);
        if (first == CharacterKind.Letter)
        {
            return CharacterKinds.EndOfRun(text, afterFirst, CharacterKind.Letter);
        }

        if (first == CharacterKind.Number)
        {
            return EndOfNumber(text, afterFirst);
        }

        CharacterKind? second = afterFirst < text.Length ? CharacterKinds.At(text, afterFirst, out _) : null;
        if (second == CharacterKind.Letter && !IsNewline(text[start]))
        {
            return CharacterKinds.EndOfRun(text, afterFirst, CharacterKind.Letter);
        }

        if (first == CharacterKind.Other || (text[start] == ' ' && second == CharacterKind.Other))
        {
            var end = CharacterKinds.EndOfRun(text, afterFirst, CharacterKind.Other);
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
        var end = CharacterKinds.EndOfRun(text, afterFirst, CharacterKind.Space);
        var lastNewline = text[start..end].LastIndexOfAny('\r', '\n');
        if (lastNewline >= 0)
        {
            return start + lastNewline + 1;
        }

        // The last space before a word belongs to the word's piece, unless it is the only one.
        return end == text.Length || end == afterFirst ? end : end - 1;
    }

    // At most three digits.
    private static int EndOfNumber(ReadOnlySpan<char> text, int afterFirst)
    {
        var end = afterFirst;
        for (var more = 0; more < 2 && end < text.Length; more++)
        {
            if (CharacterKinds.At(text, end, out var next) != CharacterKind.Number)
            {
                break;
            }

            end = next;
        }

        return end;
    }

    private static int Contraction(ReadOnlySpan<char> text)
    {
        if (text.Length < 2)
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

    private static bool IsNewline(char c) => c is '\r' or '\n';
}
