using System.Text;

namespace GlmTune.Constraints;

/// <summary>Grammar rules for JSON (RFC 8259), and for plain UTF-8.</summary>
/// <remarks>White space between tokens is at most one space, or a line break with indentation, so that an answer cannot
/// consist of white space.</remarks>
internal sealed class JsonGrammar
{
    private const int MaxIndent = 40;
    private const int MaxDigits = 18; // Integers stay within 64 bits, other numbers within doubles.
    private readonly ByteSet digits = ByteSet.Range('0', '9');
    private readonly ByteSet hex = ByteSet.Range('0', '9') | ByteSet.Range('a', 'f') | ByteSet.Range('A', 'F');
    private readonly int blank;
    private readonly int digit;
    private readonly int textCharacter;
    private readonly int stringCharacter;
    private readonly int value;
    private readonly int anyObject;

    public JsonGrammar(ByteGrammar grammar)
    {
        Grammar = grammar;
        blank = grammar.Rule(grammar.Byte(ByteSet.AnyOf(" \t"), ByteGrammar.End));
        digit = grammar.Rule(grammar.Byte(digits, ByteGrammar.End));
        textCharacter = grammar.Rule(
            grammar.Choice([
                grammar.Byte(ByteSet.AnyOf("\t\n\r") | ByteSet.Range(' ', 0x7F), ByteGrammar.End),
                .. Multibyte(ByteGrammar.End),
            ])
        );
        stringCharacter = grammar.Rule(
            grammar.Choice([
                grammar.Byte(ByteSet.Range(' ', 0x7F) - ByteSet.AnyOf("\"\\"), ByteGrammar.End),
                grammar.Byte(ByteSet.Of((byte)'\\'), Escape()),
                .. Multibyte(ByteGrammar.End),
            ])
        );

        value = grammar.Declare();
        var member = grammar.Rule(String(0, ByteGrammar.Unbounded, Colon(grammar.Call(value, ByteGrammar.End))));
        var nextMember = grammar.Rule(Comma(grammar.Call(member, ByteGrammar.End)));
        var close = Space(grammar.Literal("}"u8, ByteGrammar.End));
        anyObject = grammar.Rule(
            grammar.Literal(
                "{"u8,
                grammar.Choice(
                    close,
                    Space(grammar.Call(member, grammar.Repeat(nextMember, 0, ByteGrammar.Unbounded, close)))
                )
            )
        );
        grammar.Define(
            value,
            grammar.Choice(
                grammar.Call(anyObject, ByteGrammar.End),
                Array(value, 0, ByteGrammar.Unbounded, ByteGrammar.End),
                String(0, ByteGrammar.Unbounded, ByteGrammar.End),
                Number(ByteGrammar.End),
                grammar.Literal("true"u8, ByteGrammar.End),
                grammar.Literal("false"u8, ByteGrammar.End),
                grammar.Literal("null"u8, ByteGrammar.End)
            )
        );
    }

    public ByteGrammar Grammar { get; }

    /// <summary>Any value.</summary>
    public int Any(int next) => Grammar.Call(value, next);

    /// <summary>Any object.</summary>
    public int AnyObject(int next) => Grammar.Call(anyObject, next);

    /// <summary>Any UTF-8 text without control characters.</summary>
    public int Text(int next) => Grammar.Repeat(textCharacter, 0, ByteGrammar.Unbounded, next);

    /// <summary>A string with a number of code points in a range.</summary>
    public int String(int least, int most, int next) =>
        Grammar.Literal("\""u8, Grammar.Repeat(stringCharacter, least, most, Grammar.Literal("\""u8, next)));

    /// <summary>A comma-separated list of what a rule accepts.</summary>
    public int Array(int item, int least, int most, int next)
    {
        var close = Space(Grammar.Literal("]"u8, next));
        if (most == 0)
        {
            return Grammar.Literal("["u8, close);
        }

        var nextItem = Grammar.Rule(Comma(Grammar.Call(item, ByteGrammar.End)));
        var items = Space(
            Grammar.Call(
                item,
                Grammar.Repeat(nextItem, Math.Max(least - 1, 0), most == ByteGrammar.Unbounded ? most : most - 1, close)
            )
        );
        return Grammar.Literal("["u8, least > 0 ? items : Grammar.Choice(close, items));
    }

    /// <summary>Any number.</summary>
    public int Number(int next)
    {
        var exponent = Grammar.Byte(
            ByteSet.AnyOf("eE"),
            Optional(ByteSet.AnyOf("+-"), Grammar.Repeat(digit, 1, 2, next))
        );
        var afterFraction = Grammar.Choice(next, exponent);
        var fraction = Grammar.Literal("."u8, Grammar.Repeat(digit, 1, MaxDigits, afterFraction));
        return Optional(ByteSet.Of((byte)'-'), Digits(Grammar.Choice(next, exponent, fraction)));
    }

    /// <summary>Any integer of up to 18 digits.</summary>
    public int Integer(int next) =>
        Grammar.Choice(
            Digits(next),
            Grammar.Literal("-"u8, Grammar.Byte(ByteSet.Range('1', '9'), Grammar.Repeat(digit, 0, MaxDigits - 1, next)))
        );

    /// <summary>A JSON text, byte for byte.</summary>
    public int Literal(string json, int next) => Grammar.Literal(Encoding.UTF8.GetBytes(json), next);

    /// <summary>Optional white space.</summary>
    public int Space(int next) =>
        Grammar.Choice(
            next,
            Grammar.Literal(" "u8, next),
            Grammar.Literal("\n"u8, Grammar.Repeat(blank, 0, MaxIndent, next))
        );

    /// <summary>A comma between two values.</summary>
    public int Comma(int next) => Grammar.Literal(","u8, Space(next));

    /// <summary>A colon after a key.</summary>
    public int Colon(int next) => Grammar.Literal(":"u8, Grammar.Choice(next, Grammar.Literal(" "u8, next)));

    private int Digits(int next) =>
        Grammar.Choice(
            Grammar.Literal("0"u8, next),
            Grammar.Byte(ByteSet.Range('1', '9'), Grammar.Repeat(digit, 0, MaxDigits - 1, next))
        );

    private int Optional(ByteSet set, int next) => Grammar.Choice(next, Grammar.Byte(set, next));

    // Well-formed sequences of two to four bytes (Unicode standard, table 3-7).
    private int[] Multibyte(int next)
    {
        var tail = ByteSet.Range(0x80, 0xBF);
        var one = Grammar.Byte(tail, next);
        var two = Grammar.Byte(tail, one);
        return
        [
            Grammar.Byte(ByteSet.Range(0xC2, 0xDF), one),
            Grammar.Byte(ByteSet.Of(0xE0), Grammar.Byte(ByteSet.Range(0xA0, 0xBF), one)),
            Grammar.Byte(ByteSet.Range(0xE1, 0xEC) | ByteSet.Range(0xEE, 0xEF), two),
            Grammar.Byte(ByteSet.Of(0xED), Grammar.Byte(ByteSet.Range(0x80, 0x9F), one)),
            Grammar.Byte(ByteSet.Of(0xF0), Grammar.Byte(ByteSet.Range(0x90, 0xBF), two)),
            Grammar.Byte(ByteSet.Range(0xF1, 0xF3), Grammar.Byte(tail, two)),
            Grammar.Byte(ByteSet.Of(0xF4), Grammar.Byte(ByteSet.Range(0x80, 0x8F), two)),
        ];
    }

    // After the backslash. Surrogates come in pairs only.
    private int Escape()
    {
        var end = ByteGrammar.End;
        int Hex(int count, int next) => count == 0 ? next : Grammar.Byte(hex, Hex(count - 1, next));
        var second = Grammar.Literal(
            "\\u"u8,
            Grammar.Byte(ByteSet.AnyOf("dD"), Grammar.Byte(ByteSet.AnyOf("cdefCDEF"), Hex(2, end)))
        );
        return Grammar.Choice(
            Grammar.Byte(ByteSet.AnyOf("\"\\/bfnrt"), end),
            Grammar.Literal(
                "u"u8,
                Grammar.Choice(
                    Grammar.Byte(hex - ByteSet.AnyOf("dD"), Hex(3, end)),
                    Grammar.Byte(
                        ByteSet.AnyOf("dD"),
                        Grammar.Choice(
                            Grammar.Byte(ByteSet.Range('0', '7'), Hex(2, end)),
                            Grammar.Byte(ByteSet.AnyOf("89abAB"), Hex(2, second))
                        )
                    )
                )
            )
        );
    }
}
