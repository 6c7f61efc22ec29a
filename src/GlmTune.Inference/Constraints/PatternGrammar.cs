using System.Globalization;
using System.Text;

namespace GlmTune.Inference;

/// <summary>A regular expression (ECMA-262, the part that describes regular languages) as the content of a JSON string.</summary>
/// <remarks>
/// Literals, ., classes, \d \w \s and their opposites, groups, alternatives, ? * + {n} {n,} {n,m}. Without ^ or $ the match may stand anywhere, as the
/// schema's rule is. Characters other than ASCII stand for themselves outside classes; . and negated classes mean ASCII.
/// </remarks>
internal sealed class PatternGrammar(JsonGrammar json)
{
    private const int MostLength = 1000;
    private const int MostDepth = 50;
    private static readonly ByteSet Printable = ByteSet.Range(' ', 0x7E);
    private static readonly ByteSet Digit = ByteSet.Range('0', '9');
    private static readonly ByteSet Word = Digit | ByteSet.Range('a', 'z') | ByteSet.Range('A', 'Z') | ByteSet.Of((byte)'_');
    private readonly ByteGrammar grammar = json.Grammar;
    private string pattern = "";
    private int place;
    private int depth;

    /// <summary>A string that matches.</summary>
    /// <exception cref="FormatException">The pattern is none, or uses more than is supported; the message goes on after "pattern '…' ".</exception>
    public int String(string expression, int next)
    {
        if (expression.Length > MostLength)
        {
            throw new FormatException($"is longer than {MostLength} characters");
        }

        var (start, end) = (expression.StartsWith('^'), expression.EndsWith('$') && !expression.EndsWith("\\$", StringComparison.Ordinal));
        (pattern, place, depth) = (expression[(start ? 1 : 0)..(end && expression.Length > (start ? 1 : 0) ? ^1 : ^0)], 0, 0);
        var parsed = Alternatives();
        if (place < pattern.Length)
        {
            throw new FormatException($"has an unexpected '{pattern[place]}' at {place}");
        }

        if (parsed is Part.Any { Ways.Count: > 1 } && (start != end))
        {
            throw new FormatException("has alternatives outside a group beside ^ or $ alone");
        }

        var close = grammar.Literal("\""u8, next);
        var anything = grammar.Rule(Byte(Printable, ByteGrammar.End));
        var matched = Build(parsed, end ? close : grammar.Repeat(anything, 0, ByteGrammar.Unbounded, close));
        return grammar.Literal("\""u8, start ? matched : grammar.Repeat(anything, 0, ByteGrammar.Unbounded, matched));
    }

    private abstract record Part
    {
        public sealed record OneOf(ByteSet Set) : Part;

        public sealed record Text(byte[] Bytes) : Part;

        public sealed record Row(IReadOnlyList<Part> Parts) : Part;

        public sealed record Any(IReadOnlyList<Part> Ways) : Part;

        public sealed record Repeated(Part Inner, int Least, int Most) : Part;
    }

    private int Build(Part part, int next) => part switch
    {
        Part.OneOf one => Byte(one.Set, next),
        Part.Text text => grammar.Literal(text.Bytes, next),
        Part.Row row => row.Parts.Reverse().Aggregate(next, (following, inner) => Build(inner, following)),
        Part.Any any => grammar.Choice([.. any.Ways.Select(way => Build(way, next))]),
        Part.Repeated repeated => grammar.Repeat(grammar.Rule(Build(repeated.Inner, ByteGrammar.End)), repeated.Least, repeated.Most, next),
        _ => throw new InvalidOperationException(),
    };

    // Quotes, backslashes and control characters are escaped inside a JSON string; of the latter, those that have a short form may stand there.
    private int Byte(ByteSet set, int next)
    {
        var ways = new List<int>();
        var plain = set - ByteSet.AnyOf("\"\\") - ByteSet.Range(0, 0x1F);
        if (plain != default)
        {
            ways.Add(grammar.Byte(plain, next));
        }

        foreach (var (value, escape) in ((char, string)[])[('"', "\\\""), ('\\', "\\\\"), ('\t', "\\t"), ('\n', "\\n"), ('\r', "\\r")])
        {
            if (set.Contains((byte)value))
            {
                ways.Add(json.Literal(escape, next));
            }
        }

        return ways.Count > 0 ? grammar.Choice([.. ways]) : throw new FormatException("has a class that nothing matches");
    }

    private Part Alternatives()
    {
        if (++depth > MostDepth)
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
            parts.Add(Quantified(Atom()));
        }

        return new Part.Row(parts);
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

        if (pattern[place] != '{')
        {
            place++;
        }
        else
        {
            place = pattern.IndexOf('}', place) + 1;
        }

        if (place < pattern.Length && pattern[place] == '?')
        {
            place++;   // Lazy and greedy match the same texts.
        }

        return new Part.Repeated(atom, least, most);
    }

    private (int Least, int Most) Counted()
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

        throw new FormatException($"has a wrong count at {place}; expected {{n}}, {{n,}} or {{n,m}}");

        static bool Count(string text, out int count) => int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out count) && count <= 10_000;
    }

    private Part Atom()
    {
        var c = pattern[place++];
        switch (c)
        {
            case '(':
                if (place + 1 < pattern.Length && pattern[place] == '?')
                {
                    place += pattern[place + 1] == ':' ? 2 : throw new FormatException($"has a look-around or named group at {place - 1}");
                }

                var inner = Alternatives();
                if (place >= pattern.Length || pattern[place] != ')')
                {
                    throw new FormatException("has a group that is not closed");
                }

                place++;
                return inner;
            case '[':
                return new Part.OneOf(Class());
            case '.':
                return new Part.OneOf(Printable);
            case '\\':
                return new Part.OneOf(Escaped());
            case '^' or '$' or '*' or '+' or '?' or '{' or '}' or ']':
                throw new FormatException($"has an unexpected '{c}' at {place - 1}");
            default:
                if (c < 0x80)
                {
                    return new Part.OneOf(ByteSet.Of((byte)c));
                }

                var text = char.IsHighSurrogate(c) && place < pattern.Length ? $"{c}{pattern[place++]}" : $"{c}";
                return new Part.Text(Encoding.UTF8.GetBytes(text));
        }
    }

    private ByteSet Class()
    {
        var negated = place < pattern.Length && pattern[place] == '^';
        place += negated ? 1 : 0;
        var set = default(ByteSet);
        while (true)
        {
            if (place >= pattern.Length)
            {
                throw new FormatException("has a class that is not closed");
            }

            var c = pattern[place++];
            if (c == ']')
            {
                return negated ? Printable - set : set;
            }

            if (c >= 0x80)
            {
                throw new FormatException("has a class with characters beyond ASCII");
            }

            var one = c == '\\' ? Escaped() : ByteSet.Of((byte)c);
            if (place + 1 < pattern.Length && pattern[place] == '-' && pattern[place + 1] != ']' && c != '\\')
            {
                var last = pattern[place + 1];
                place += 2;
                one = last < 0x80 && last != '\\' && last >= c ? ByteSet.Range(c, last) : throw new FormatException($"has a wrong range at {place - 1}");
            }

            set |= one;
        }
    }

    private ByteSet Escaped()
    {
        var c = place < pattern.Length ? pattern[place++] : throw new FormatException("ends with a backslash");
        return c switch
        {
            'd' => Digit,
            'D' => Printable - Digit,
            'w' => Word,
            'W' => Printable - Word,
            's' => ByteSet.AnyOf(" \t\n\r"),
            'S' => Printable - ByteSet.Of((byte)' '),
            't' => ByteSet.Of((byte)'\t'),
            'n' => ByteSet.Of((byte)'\n'),
            'r' => ByteSet.Of((byte)'\r'),
            _ when char.IsAsciiLetterOrDigit(c) || c >= 0x80 => throw new FormatException($"has \\{c}, which is not supported"),
            _ => ByteSet.Of((byte)c),
        };
    }
}
