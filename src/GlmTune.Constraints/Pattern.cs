using System.Globalization;

namespace GlmTune.Constraints;

/// <summary>A parsed regular expression (ECMA-262 with the u flag, limited to regular languages).</summary>
/// <remarks>Literals, ., classes, \d \w \s and their complements, \p{…} with general categories, groups, alternatives,
/// ? * + {n} {n,} {n,m}, ^ and $ anywhere, lookaheads at the start after ^. Without ^ or $ the match may be anywhere in
/// the text, as JSON Schema requires. Lazy and greedy repetitions match the same texts.</remarks>
/// <param name="Whole">The expression to match.</param>
/// <param name="Ahead">Lookaheads: what the text must, or must not, start with.</param>
internal sealed record Pattern(Pattern.Part Whole, IReadOnlyList<(Pattern.Part Inner, bool Negated)> Ahead)
{
    private const int MaxLength = 1000;

    /// <exception cref="FormatException">The text is not a valid pattern, or uses unsupported features; the message is
    /// a phrase to follow "pattern '…' ".</exception>
    public static Pattern Read(string expression) =>
        expression.Length <= MaxLength
            ? new Reader(expression).Read()
            : throw new FormatException($"is longer than {MaxLength} characters");

    /// <summary>A part of an expression.</summary>
    public abstract record Part
    {
        /// <summary>One character from a set.</summary>
        public sealed record OneOf(CharacterSet Set) : Part;

        /// <summary>Parts in sequence.</summary>
        public sealed record Row(IReadOnlyList<Part> Parts) : Part;

        /// <summary>One of several alternatives.</summary>
        public sealed record Any(IReadOnlyList<Part> Ways) : Part;

        /// <summary>A repeated part.</summary>
        public sealed record Repeated(Part Inner, int Min, int Max) : Part;

        /// <summary>The empty match at the start of the text.</summary>
        public sealed record Start : Part;

        /// <summary>The empty match at the end of the text.</summary>
        public sealed record End : Part;
    }

    private sealed class Reader(string pattern)
    {
        private const int MaxDepth = 50;
        private static readonly CharacterSet Digit = CharacterSet.Range('0', '9');
        private static readonly CharacterSet Word =
            Digit | CharacterSet.Range('a', 'z') | CharacterSet.Range('A', 'Z') | CharacterSet.AnyOf("_");
        private static readonly CharacterSet Space =
            CharacterSet.AnyOf("\t\n\v\f\r\uFEFF\u2028\u2029") | CharacterSet.Category("Zs")!;
        private static readonly CharacterSet NoBreak = CharacterSet.All - CharacterSet.AnyOf("\n\r\u2028\u2029");
        private readonly List<(Part Inner, bool Negated)> ahead = [];
        private int place;
        private int depth;

        public Pattern Read()
        {
            var whole = Alternatives();
            if (place < pattern.Length)
            {
                throw new FormatException($"has an unexpected '{pattern[place]}' at {place}");
            }

            if (ahead.Count > 0 && whole is not Part.Row)
            {
                throw new FormatException("has a lookaround next to alternatives; put the alternatives into a group");
            }

            return new Pattern(whole, ahead);
        }

        private Part Alternatives()
        {
            if (++depth > MaxDepth)
            {
                throw new FormatException("is nested too deeply");
            }

            var ways = new List<Part> { Row() };
            while (place < pattern.Length && pattern[place] == '|')
            {
                place++;
                ways.Add(Row());
            }

            depth--;
            return ways.Count == 1 ? ways[0] : new Part.Any(ways);
        }

        private Part.Row Row()
        {
            var parts = new List<Part>();
            while (place < pattern.Length && pattern[place] is not ('|' or ')'))
            {
                if (pattern[place] is '^' or '$')
                {
                    parts.Add(pattern[place++] == '^' ? new Part.Start() : new Part.End());
                }
                else if (!LookedAhead(parts))
                {
                    parts.Add(Quantified(Atom()));
                }
            }

            return new Part.Row(parts);
        }

        // Only at the start of the whole pattern, right after its ^: there it constrains the text from its start.
        private bool LookedAhead(List<Part> before)
        {
            var opening = pattern.AsSpan(place);
            if (!opening.StartsWith("(?=") && !opening.StartsWith("(?!"))
            {
                return false;
            }

            if (depth != 1 || before is not [Part.Start])
            {
                throw new FormatException($"has a lookaround at {place}; it is supported only right after ^");
            }

            place += 3;
            ahead.Add((Closed(), opening[2] == '!'));
            return true;
        }

        private Part Closed()
        {
            var inner = Alternatives();
            if (place >= pattern.Length || pattern[place] != ')')
            {
                throw new FormatException("has a group that is not closed");
            }

            place++;
            return inner;
        }

        private Part Quantified(Part atom)
        {
            if (place >= pattern.Length)
            {
                return atom;
            }

            var (least, most) = pattern[place] switch
            {
                '?' => (0, 1),
                '*' => (0, ByteGrammar.Unbounded),
                '+' => (1, ByteGrammar.Unbounded),
                '{' => Counted(),
                _ => (-1, -1),
            };
            if (least < 0)
            {
                return atom;
            }

            place = pattern[place] == '{' ? pattern.IndexOf('}', place) + 1 : place + 1;
            if (place < pattern.Length && pattern[place] == '?')
            {
                place++;
            }

            return new Part.Repeated(atom, least, most);
        }

        private (int Min, int Max) Counted()
        {
            var end = pattern.IndexOf('}', place);
            var parts = end < 0 ? [] : pattern[(place + 1)..end].Split(',');
            if (parts.Length is 1 or 2 && Count(parts[0], out var least))
            {
                if (parts.Length == 1)
                {
                    return (least, least);
                }

                if (parts[1].Length == 0)
                {
                    return (least, ByteGrammar.Unbounded);
                }

                if (Count(parts[1], out var most) && most >= least)
                {
                    return (least, most);
                }
            }

            throw new FormatException($"has an invalid count at {place}; expected {{n}}, {{n,}} or {{n,m}}");

            static bool Count(string text, out int count) =>
                int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out count) && count <= 10_000;
        }

        private Part Atom()
        {
            var c = pattern[place++];
            switch (c)
            {
                case '(':
                    if (place < pattern.Length && pattern[place] == '?')
                    {
                        SkipGroupKind();
                    }

                    return Closed();
                case '[':
                    return new Part.OneOf(Class());
                case '.':
                    return new Part.OneOf(NoBreak);
                case '\\':
                    return new Part.OneOf(Escaped());
                case '*' or '+' or '?' or '{' or '}' or ']':
                    throw new FormatException($"has an unexpected '{c}' at {place - 1}");
                default:
                    place--;
                    var character = Character();
                    return new Part.OneOf(CharacterSet.Range(character, character));
            }
        }

        // (?:…) and (?<name>…) match what their content matches.
        private void SkipGroupKind()
        {
            var opening = pattern.AsSpan(place);
            var name =
                opening.StartsWith("?P<") ? 3
                : opening.StartsWith("?<") ? 2
                : 0;
            var end = name > 0 ? pattern.IndexOf('>', place) : -1;
            place =
                opening.StartsWith("?:") ? place + 2
                : end > place + name && char.IsLetter(pattern[place + name]) ? end + 1
                : throw new FormatException($"has a lookaround or another special group at {place - 1}");
        }

        private CharacterSet Class()
        {
            var negated = place < pattern.Length && pattern[place] == '^';
            place += negated ? 1 : 0;
            var set = CharacterSet.Empty;
            while (true)
            {
                if (place >= pattern.Length)
                {
                    throw new FormatException("has a class that is not closed");
                }

                if (pattern[place] == ']')
                {
                    place++;
                    return negated ? set.Complement() : set;
                }

                var one = ClassAtom();
                if (
                    place + 1 < pattern.Length
                    && pattern[place] == '-'
                    && pattern[place + 1] != ']'
                    && Single(one) is { } first
                )
                {
                    place++;
                    one =
                        Single(ClassAtom()) is { } last && last >= first
                            ? CharacterSet.Range(first, last)
                            : throw new FormatException($"has an invalid range at {place - 1}");
                }

                set |= one;
            }
        }

        private static int? Single(CharacterSet set) =>
            set.Ranges is [var (first, last)] && first == last ? first : null;

        private CharacterSet ClassAtom()
        {
            if (pattern[place] != '\\')
            {
                var character = Character();
                return CharacterSet.Range(character, character);
            }

            place++;
            if (place < pattern.Length && pattern[place] == 'b')
            {
                place++;
                return CharacterSet.AnyOf("\b");
            }

            return Escaped();
        }

        private int Character()
        {
            var c = pattern[place++];
            return !char.IsSurrogate(c) ? c
                : char.IsHighSurrogate(c) && place < pattern.Length && char.IsLowSurrogate(pattern[place])
                    ? char.ConvertToUtf32(c, pattern[place++])
                : throw new FormatException($"has an unpaired surrogate at {place - 1}");
        }

        private CharacterSet Escaped()
        {
            var c = place < pattern.Length ? pattern[place++] : throw new FormatException("ends with a backslash");
            return c switch
            {
                'd' => Digit,
                'D' => Digit.Complement(),
                'w' => Word,
                'W' => Word.Complement(),
                's' => Space,
                'S' => Space.Complement(),
                't' => CharacterSet.AnyOf("\t"),
                'n' => CharacterSet.AnyOf("\n"),
                'r' => CharacterSet.AnyOf("\r"),
                'f' => CharacterSet.AnyOf("\f"),
                'v' => CharacterSet.AnyOf("\v"),
                'p' => Category(),
                'P' => Category().Complement(),
                'x' => Coded(2),
                'u' => Coded(4),
                _ when char.IsAsciiLetterOrDigit(c) || c >= 0x80 => throw new FormatException(
                    $"has \\{c}, which is not supported"
                ),
                _ => CharacterSet.Range(c, c),
            };
        }

        private CharacterSet Category()
        {
            var end = place < pattern.Length && pattern[place] == '{' ? pattern.IndexOf('}', place) : -1;
            var name =
                end < 0
                    ? ""
                    : pattern[(place + 1)..end]
                        .Replace("General_Category=", "", StringComparison.Ordinal)
                        .Replace("gc=", "", StringComparison.Ordinal);
            place = end + 1;
            return CharacterSet.Category(name)
                ?? throw new FormatException("has a \\p without a general category, such as L, Lu or Nd");
        }

        private CharacterSet Coded(int digits)
        {
            var braced =
                digits == 4 && place < pattern.Length && pattern[place] == '{' ? pattern.IndexOf('}', place) : -1;
            var code =
                braced > 0
                    ? Hex(pattern.AsSpan((place + 1)..braced), 6)
                    : Hex(pattern.AsSpan(place, Math.Min(digits, pattern.Length - place)), digits);
            if (code is null || (braced < 0 && pattern.Length - place < digits))
            {
                throw new FormatException($"has an invalid character code at {place}");
            }

            place = braced > 0 ? braced + 1 : place + digits;
            var character = code.Value;
            if (
                char.IsHighSurrogate((char)Math.Min(character, 0xFFFF))
                && pattern.AsSpan(place).StartsWith("\\u")
                && pattern.Length - place >= 6
                && Hex(pattern.AsSpan(place + 2, 4), 4) is >= 0xDC00 and <= 0xDFFF and var low
            )
            {
                (character, place) = (char.ConvertToUtf32((char)character, (char)low), place + 6);
            }

            return character is <= 0x10FFFF and not (>= 0xD800 and <= 0xDFFF)
                ? CharacterSet.Range(character, character)
                : throw new FormatException($"has a code at {place} that is not a character");
        }

        private static int? Hex(ReadOnlySpan<char> text, int most) =>
            text.Length <= most
            && int.TryParse(text, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var code)
                ? code
                : null;
    }
}
