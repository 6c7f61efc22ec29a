using System.Text;

namespace GlmTune.Constraints;

/// <summary>Texts given by patterns, formats and lengths, as JSON strings.</summary>
/// <remarks>Characters are written unescaped where JSON allows it. Quotes, backslashes and control characters with a
/// short escape use that escape; other control characters are never written.</remarks>
internal sealed class TextGrammar(JsonGrammar json)
{
    private static readonly CharacterSet Plain =
        CharacterSet.All - CharacterSet.Range(0, 0x1F) - CharacterSet.AnyOf("\"\\");
    private static readonly (char Value, char Escape)[] Escapes =
    [
        ('"', '"'),
        ('\\', '\\'),
        ('\b', 'b'),
        ('\t', 't'),
        ('\n', 'n'),
        ('\f', 'f'),
        ('\r', 'r'),
    ];
    private readonly ByteGrammar grammar = json.Grammar;
    private readonly Dictionary<CharacterSet, int?> rules = [];
    private readonly int[] tails = Tails(json.Grammar);

    /// <summary>A string from a set of texts, with a length in characters.</summary>
    /// <exception cref="FormatException">There is no such text, or it needs too many states.</exception>
    public int String(TextMachine machine, int least, int most, int next) =>
        grammar.Literal(
            "\""u8,
            grammar.Repeat(
                new TextRepetition(machine, Character, least, most, grammar.Spend),
                grammar.Literal("\""u8, next)
            )
        );

    /// <summary>A string that matches an expression with any number of states; efficient if the expression is not
    /// ambiguous.</summary>
    /// <exception cref="FormatException">The expression has lookaheads, or ^ or $ in the middle.</exception>
    public int String(Pattern pattern, int next)
    {
        var parts =
            pattern.Whole is Pattern.Part.Row { Parts: var row } && pattern.Ahead.Count == 0
                ? row.ToList()
                : throw TooManyStates();
        var (start, end) = (parts is [Pattern.Part.Start, ..], parts is [.., Pattern.Part.End]);
        var inner = new Pattern.Part.Row(parts[(start ? 1 : 0)..^(end ? 1 : 0)]);
        var close = grammar.Literal("\""u8, next);
        var anything = Character(CharacterSet.All)!.Value;
        var matched = Build(inner, end ? close : grammar.Repeat(anything, 0, ByteGrammar.Unbounded, close));
        return grammar.Literal("\""u8, start ? matched : grammar.Repeat(anything, 0, ByteGrammar.Unbounded, matched));
    }

    private static FormatException TooManyStates() => new("needs too many states");

    private int Build(Pattern.Part part, int next) =>
        part switch
        {
            Pattern.Part.OneOf one => grammar.Call(
                Character(one.Set) ?? throw new FormatException("has a class that matches nothing"),
                next
            ),
            Pattern.Part.Row row => row.Parts.Reverse().Aggregate(next, (following, inner) => Build(inner, following)),
            Pattern.Part.Any any => grammar.Choice([.. any.Ways.Select(way => Build(way, next))]),
            Pattern.Part.Repeated repeated => grammar.Repeat(
                grammar.Rule(Build(repeated.Inner, ByteGrammar.End)),
                repeated.Min,
                repeated.Max,
                next
            ),
            _ => throw TooManyStates(),
        };

    private int? Character(CharacterSet set)
    {
        if (rules.TryGetValue(set, out var known))
        {
            return known;
        }

        var ways = new List<int>();
        var ascii = default(ByteSet);
        foreach (var (first, last) in (set - Plain.Complement()).Ranges)
        {
            var from = first;
            foreach (var longest in (int[])[0x7F, 0x7FF, 0xFFFF, 0x10FFFF])
            {
                if (from <= Math.Min(last, longest))
                {
                    var to = Math.Min(last, longest);
                    if (longest == 0x7F)
                    {
                        ascii |= ByteSet.Range(from, to);
                    }
                    else
                    {
                        AddBytes(ways, Encode(from), Encode(to), 0, ByteGrammar.End);
                    }

                    from = to + 1;
                }
            }
        }

        if (ascii != default)
        {
            ways.Add(grammar.Byte(ascii, ByteGrammar.End));
        }

        var escaped = Escapes
            .Where(pair => set.Contains(pair.Value))
            .Aggregate(default(ByteSet), (all, pair) => all | ByteSet.Of((byte)pair.Escape));
        if (escaped != default)
        {
            ways.Add(grammar.Literal("\\"u8, grammar.Byte(escaped, ByteGrammar.End)));
        }

        return rules[set] = ways.Count == 0 ? null : grammar.Rule(grammar.Choice([.. ways]));
    }

    private static byte[] Encode(int character) => Encoding.UTF8.GetBytes(char.ConvertFromUtf32(character));

    // All UTF-8 sequences in a range of equal length, in byte order, which is also the order of characters.
    private void AddBytes(List<int> ways, byte[] first, byte[] last, int place, int next)
    {
        var left = first.Length - place - 1;
        if (left == 0)
        {
            ways.Add(grammar.Byte(ByteSet.Range(first[place], last[place]), next));
            return;
        }

        if (first[place] == last[place])
        {
            var below = new List<int>();
            AddBytes(below, first, last, place + 1, next);
            ways.Add(grammar.Byte(ByteSet.Of(first[place]), grammar.Choice([.. below])));
            return;
        }

        var (from, to) = ((int)first[place], (int)last[place]);
        if (first.AsSpan(place + 1).ContainsAnyExcept((byte)0x80))
        {
            AddBytes(ways, first, [.. first[..(place + 1)], .. Enumerable.Repeat((byte)0xBF, left)], place, next);
            from++;
        }

        var wholeEnd = !last.AsSpan(place + 1).ContainsAnyExcept((byte)0xBF);
        to -= wholeEnd ? 0 : 1;
        if (from <= to)
        {
            ways.Add(grammar.Byte(ByteSet.Range(from, to), tails[left]));
        }

        if (!wholeEnd)
        {
            AddBytes(ways, [.. last[..(place + 1)], .. Enumerable.Repeat((byte)0x80, left)], last, place, next);
        }
    }

    // Continuation bytes, by how many follow.
    private static int[] Tails(ByteGrammar grammar)
    {
        var tails = new int[4];
        for (var i = 1; i < tails.Length; i++)
        {
            tails[i] = grammar.Byte(ByteSet.Range(0x80, 0xBF), tails[i - 1]);
        }

        return tails;
    }
}
