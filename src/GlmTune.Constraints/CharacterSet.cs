using System.Collections.Concurrent;
using System.Globalization;
using System.Text;

namespace GlmTune.Constraints;

/// <summary>A set of Unicode characters (code points other than surrogates). Immutable.</summary>
internal sealed class CharacterSet : IEquatable<CharacterSet>
{
    private const int Last = 0x10FFFF;
    private static readonly (int First, int Last)[] Surrogates = [(0xD800, 0xDFFF)];
    private static readonly ConcurrentDictionary<string, CharacterSet?> Categories = new(StringComparer.Ordinal);
    private readonly (int First, int Last)[] ranges; // In ascending order, with gaps between them.

    private CharacterSet((int First, int Last)[] ranges) => this.ranges = ranges;

    /// <summary>The empty set.</summary>
    public static CharacterSet Empty { get; } = new([]);

    /// <summary>All characters.</summary>
    public static CharacterSet All { get; } = Empty.Complement();

    /// <summary>The ranges in ascending order, first and last characters included.</summary>
    public IReadOnlyList<(int First, int Last)> Ranges => ranges;

    public bool IsEmpty => ranges.Length == 0;

    /// <summary>All characters in a range, both ends included.</summary>
    public static CharacterSet Range(int first, int last) =>
        Of([(first, Math.Min(last, 0xD7FF)), (Math.Max(first, 0xE000), last)]);

    /// <summary>The characters of a text.</summary>
    public static CharacterSet AnyOf(string characters) =>
        Of([.. characters.EnumerateRunes().Select(rune => (rune.Value, rune.Value))]);

    /// <summary>A general category (L, Lu, Nd …); null if there is none with this name.</summary>
    public static CharacterSet? Category(string name) =>
        name.Length is 1 or 2 && name.All(char.IsAsciiLetter) ? Categories.GetOrAdd(name, Find) : null;

    public bool Contains(int character)
    {
        var (low, high) = (0, ranges.Length - 1);
        while (low <= high)
        {
            var middle = (low + high) / 2;
            if (character < ranges[middle].First)
            {
                high = middle - 1;
            }
            else if (character > ranges[middle].Last)
            {
                low = middle + 1;
            }
            else
            {
                return true;
            }
        }

        return false;
    }

    public CharacterSet Complement() => new(Gaps(Normal([.. ranges, .. Surrogates])));

    public static CharacterSet operator |(CharacterSet a, CharacterSet b) => Of([.. a.ranges, .. b.ranges]);

    public static CharacterSet operator -(CharacterSet a, CharacterSet b) => (a.Complement() | b).Complement();

    public bool Equals(CharacterSet? other) => other is not null && ranges.AsSpan().SequenceEqual(other.ranges);

    public override bool Equals(object? obj) => Equals(obj as CharacterSet);

    public override int GetHashCode()
    {
        var hash = default(HashCode);
        foreach (var range in ranges)
        {
            hash.Add(range);
        }

        return hash.ToHashCode();
    }

    private static CharacterSet Of((int First, int Last)[] ranges) => new(Normal(ranges));

    private static (int First, int Last)[] Normal((int First, int Last)[] ranges)
    {
        var joined = new List<(int First, int Last)>(ranges.Length);
        foreach (var (first, last) in ranges.Where(range => range.First <= range.Last).Order())
        {
            if (joined.Count > 0 && first <= joined[^1].Last + 1)
            {
                joined[^1] = (joined[^1].First, Math.Max(joined[^1].Last, last));
            }
            else
            {
                joined.Add((first, last));
            }
        }

        return [.. joined];
    }

    private static (int First, int Last)[] Gaps((int First, int Last)[] ranges)
    {
        var gaps = new List<(int First, int Last)>(ranges.Length + 1);
        var next = 0;
        foreach (var (first, last) in ranges)
        {
            if (first > next)
            {
                gaps.Add((next, first - 1));
            }

            next = last + 1;
        }

        if (next <= Last)
        {
            gaps.Add((next, Last));
        }

        return [.. gaps];
    }

    private static CharacterSet? Find(string name)
    {
        var found = new List<(int First, int Last)>();
        for (var character = 0; character <= Last; character++)
        {
            if (
                Rune.IsValid(character)
                && Short(CharUnicodeInfo.GetUnicodeCategory(character)).StartsWith(name, StringComparison.Ordinal)
            )
            {
                if (found.Count > 0 && found[^1].Last == character - 1)
                {
                    found[^1] = (found[^1].First, character);
                }
                else
                {
                    found.Add((character, character));
                }
            }
        }

        return found.Count == 0 ? null : new CharacterSet([.. found]);
    }

    private static string Short(UnicodeCategory category) =>
        category switch
        {
            UnicodeCategory.UppercaseLetter => "Lu",
            UnicodeCategory.LowercaseLetter => "Ll",
            UnicodeCategory.TitlecaseLetter => "Lt",
            UnicodeCategory.ModifierLetter => "Lm",
            UnicodeCategory.OtherLetter => "Lo",
            UnicodeCategory.NonSpacingMark => "Mn",
            UnicodeCategory.SpacingCombiningMark => "Mc",
            UnicodeCategory.EnclosingMark => "Me",
            UnicodeCategory.DecimalDigitNumber => "Nd",
            UnicodeCategory.LetterNumber => "Nl",
            UnicodeCategory.OtherNumber => "No",
            UnicodeCategory.SpaceSeparator => "Zs",
            UnicodeCategory.LineSeparator => "Zl",
            UnicodeCategory.ParagraphSeparator => "Zp",
            UnicodeCategory.ConnectorPunctuation => "Pc",
            UnicodeCategory.DashPunctuation => "Pd",
            UnicodeCategory.OpenPunctuation => "Ps",
            UnicodeCategory.ClosePunctuation => "Pe",
            UnicodeCategory.InitialQuotePunctuation => "Pi",
            UnicodeCategory.FinalQuotePunctuation => "Pf",
            UnicodeCategory.OtherPunctuation => "Po",
            UnicodeCategory.MathSymbol => "Sm",
            UnicodeCategory.CurrencySymbol => "Sc",
            UnicodeCategory.ModifierSymbol => "Sk",
            UnicodeCategory.OtherSymbol => "So",
            UnicodeCategory.Control => "Cc",
            UnicodeCategory.Format => "Cf",
            UnicodeCategory.PrivateUse => "Co",
            UnicodeCategory.OtherNotAssigned => "Cn",
            _ => "Cs",
        };
}
