using System.Buffers;
using System.Globalization;
using System.Text;

namespace GlmTune.Data.Tokenization;

/// <summary>The four kinds of characters that GLM-4's regular expression tells apart.</summary>
internal enum CharacterKind : byte
{
    /// <summary>Unicode category L.</summary>
    Letter,

    /// <summary>Unicode category N.</summary>
    Number,

    /// <summary>Unicode's White_Space.</summary>
    Space,

    /// <summary>Everything else.</summary>
    Other,
}

/// <summary>Kinds of Unicode scalars in UTF-16 text.</summary>
internal static class CharacterKinds
{
    // The value of a surrogate, whose kind depends on the unit beside it.
    private const byte Half = byte.MaxValue;

    // One byte for every UTF-16 unit, so that most characters take one lookup.
    private static readonly byte[] OfUnits = Build();

    /// <summary>The kind of the scalar at a position.</summary>
    /// <param name="text">The text.</param>
    /// <param name="at">The position; less than the length.</param>
    /// <param name="next">The position after the scalar.</param>
    public static CharacterKind At(ReadOnlySpan<char> text, int at, out int next)
    {
        var kind = OfUnits[text[at]];
        if (kind != Half)
        {
            next = at + 1;
            return (CharacterKind)kind;
        }

        if (Rune.DecodeFromUtf16(text[at..], out var rune, out var length) != OperationStatus.Done)
        {
            rune = Rune.ReplacementChar; // An unpaired surrogate is encoded as U+FFFD, so it is split as one.
        }

        next = at + length;
        return Of(rune);
    }

    /// <summary>The end of the run of scalars of one kind that starts at a position.</summary>
    public static int EndOfRun(ReadOnlySpan<char> text, int at, CharacterKind kind)
    {
        var kinds = OfUnits;
        while (true)
        {
            while ((uint)at < (uint)text.Length && kinds[text[at]] == (byte)kind)
            {
                at++;
            }

            if (at >= text.Length || kinds[text[at]] != Half || At(text, at, out var next) != kind)
            {
                return at;
            }

            at = next;
        }
    }

    private static byte[] Build()
    {
        var kinds = new byte[char.MaxValue + 1];
        for (var unit = 0; unit < kinds.Length; unit++)
        {
            kinds[unit] = Rune.TryCreate((char)unit, out var rune) ? (byte)Of(rune) : Half;
        }

        return kinds;
    }

    private static CharacterKind Of(Rune rune) =>
        Rune.IsWhiteSpace(rune)
            ? CharacterKind.Space
            : Rune.GetUnicodeCategory(rune) switch
            {
                UnicodeCategory.UppercaseLetter
                or UnicodeCategory.LowercaseLetter
                or UnicodeCategory.TitlecaseLetter
                or UnicodeCategory.ModifierLetter
                or UnicodeCategory.OtherLetter => CharacterKind.Letter,
                UnicodeCategory.DecimalDigitNumber or UnicodeCategory.LetterNumber or UnicodeCategory.OtherNumber =>
                    CharacterKind.Number,
                _ => CharacterKind.Other,
            };
}
