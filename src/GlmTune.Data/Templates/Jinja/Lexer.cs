using System.Globalization;
using System.Text;

namespace GlmTune.Data.Templates.Jinja;

/// <summary>Cuts a template into tokens, with the settings that the transformers library renders chat templates with:
/// the line break after a block tag is dropped, and so are the spaces before one at the start of a line.</summary>
/// <remarks>Source: Jinja's documentation, "Whitespace Control"; Hugging Face, "Chat templates".</remarks>
internal sealed class Lexer
{
    private static readonly string[] Operators =
    [
        "**",
        "//",
        "==",
        "!=",
        "<=",
        ">=",
        "+",
        "-",
        "*",
        "/",
        "%",
        "~",
        "<",
        ">",
        "=",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ",",
        ".",
        ":",
        "|",
    ];

    private readonly string text;
    private readonly List<Token> tokens = [];
    private int at;
    private int line = 1;

    private Lexer(string text) => this.text = text;

    /// <summary>The tokens of a template; the last one is <see cref="TokenKind.End"/>.</summary>
    /// <param name="template">Jinja.</param>
    /// <exception cref="JinjaException">A tag or a text does not end, or a character is not understood.</exception>
    public static IReadOnlyList<Token> Read(string template)
    {
        var text = template.ReplaceLineEndings("\n");
        var lexer = new Lexer(text.EndsWith('\n') ? text[..^1] : text);
        lexer.Read();
        return lexer.tokens;
    }

    private void Read()
    {
        var (dropsSpace, dropsBreak) = (false, false);
        while (at < text.Length)
        {
            var tag = NextTag();
            var piece = text[at..tag];
            if (dropsSpace)
            {
                piece = piece.TrimStart();
            }
            else if (dropsBreak && piece.StartsWith('\n'))
            {
                piece = piece[1..];
            }

            Count(text.AsSpan(at, tag - at));
            if (tag == text.Length)
            {
                Add(piece);
                at = tag;
                break;
            }

            var (opening, sign) = (text[tag + 1], tag + 2 < text.Length ? text[tag + 2] : ' ');
            piece =
                sign == '-' ? piece.TrimEnd()
                : opening == '{' || sign == '+' ? piece
                : WithoutIndent(piece, tag);
            Add(piece);
            at = tag + 2 + (sign is '-' or '+' ? 1 : 0);
            (dropsSpace, dropsBreak) = opening switch
            {
                '#' => SkipComment(),
                '{' => ReadTag(TokenKind.PrintStart, TokenKind.PrintEnd, '}'),
                _ => ReadBlock(),
            };
        }

        tokens.Add(new Token(TokenKind.End, "", line));
    }

    // The start of the next tag; the text's end if there is none.
    private int NextTag()
    {
        for (var i = at; i + 1 < text.Length; i++)
        {
            if (text[i] == '{' && text[i + 1] is '{' or '%' or '#')
            {
                return i;
            }
        }

        return text.Length;
    }

    // Spaces between the start of a line and a block tag are dropped.
    private string WithoutIndent(string piece, int tag)
    {
        var end = piece.Length;
        while (end > 0 && IsSpace(piece[end - 1]))
        {
            end--;
        }

        return (end > 0 ? piece[end - 1] == '\n' : StartsLine(tag)) ? piece[..end] : piece;
    }

    private bool StartsLine(int tag)
    {
        var i = tag - 1;
        while (i >= 0 && IsSpace(text[i]))
        {
            i--;
        }

        return i < 0 || text[i] == '\n';
    }

    private static bool IsSpace(char c) => c is ' ' or '\t';

    private (bool, bool) SkipComment()
    {
        var end = text.IndexOf("#}", at, StringComparison.Ordinal);
        if (end < 0)
        {
            throw Error("a comment does not end; expected '#}'.");
        }

        Count(text.AsSpan(at, end - at));
        var sign = text[end - 1];
        at = end + 2;
        return (sign == '-', sign != '+');
    }

    private (bool, bool) ReadBlock()
    {
        var start = tokens.Count;
        var ends = ReadTag(TokenKind.BlockStart, TokenKind.BlockEnd, '%');
        if (tokens.Count != start + 3 || tokens[start + 1] is not { Kind: TokenKind.Name, Text: "raw" })
        {
            return (ends.DropsSpace, ends.DropsBreak);
        }

        tokens.RemoveRange(start, 3);
        return ReadRaw(ends.DropsSpace, ends.DropsBreak);
    }

    private (bool, bool) ReadRaw(bool dropsSpace, bool dropsBreak)
    {
        for (var tag = text.IndexOf("{%", at, StringComparison.Ordinal); tag >= 0;)
        {
            var name = tag + 2 + (text.AsSpan(tag + 2).StartsWith("-") ? 1 : 0);
            var rest = text.AsSpan(name).TrimStart();
            if (rest.StartsWith("endraw"))
            {
                var end = text.IndexOf("%}", name, StringComparison.Ordinal);
                var piece = text[at..tag];
                piece =
                    dropsSpace ? piece.TrimStart()
                    : dropsBreak && piece.StartsWith('\n') ? piece[1..]
                    : piece;
                Add(name > tag + 2 ? piece.TrimEnd() : piece);
                Count(text.AsSpan(at, Math.Max(end, tag) - at));
                at = end < 0 ? throw Error("a tag does not end; expected '%}'.") : end + 2;
                return (text[end - 1] == '-', text[end - 1] != '+');
            }

            tag = text.IndexOf("{%", tag + 2, StringComparison.Ordinal);
        }

        throw Error("'raw' does not end; expected 'endraw'.");
    }

    private (bool DropsSpace, bool DropsBreak) ReadTag(TokenKind start, TokenKind end, char closing)
    {
        var first = line;
        tokens.Add(new Token(start, "", line));
        var depth = 0;
        while (at < text.Length)
        {
            var c = text[at];
            if (char.IsWhiteSpace(c))
            {
                line += c == '\n' ? 1 : 0;
                at++;
            }
            else if (depth == 0 && Closes(at, closing) is { } length)
            {
                var sign = length == 3 ? text[at] : ' ';
                at += length;
                tokens.Add(new Token(end, "", line));
                return (sign == '-', closing == '%' && sign != '+');
            }
            else if (c is '\'' or '"')
            {
                ReadString(c);
            }
            else if (char.IsAsciiDigit(c))
            {
                ReadNumber();
            }
            else if (char.IsLetter(c) || c == '_')
            {
                var from = at;
                while (at < text.Length && (char.IsLetterOrDigit(text[at]) || text[at] == '_'))
                {
                    at++;
                }

                tokens.Add(new Token(TokenKind.Name, text[from..at], line));
            }
            else
            {
                var found =
                    Array.Find(Operators, o => text.AsSpan(at).StartsWith(o, StringComparison.Ordinal))
                    ?? throw Error($"'{c}' is not understood.");
                depth +=
                    found is "(" or "[" or "{" ? 1
                    : found is ")" or "]" or "}" ? -1
                    : 0;
                at += found.Length;
                tokens.Add(new Token(TokenKind.Operator, found, line));
            }
        }

        throw new JinjaException(first, $"a tag does not end; expected '{closing}}}'.");
    }

    // The length of a closing delimiter, with its sign.
    private int? Closes(int i, char closing)
    {
        var sign = text[i] is '-' or '+' ? 1 : 0;
        return i + sign + 1 < text.Length && text[i + sign] == closing && text[i + sign + 1] == '}' ? sign + 2 : null;
    }

    private void ReadNumber()
    {
        var from = at;
        var isFloat = false;
        while (at < text.Length && (char.IsAsciiDigit(text[at]) || text[at] == '_'))
        {
            at++;
        }

        if (at + 1 < text.Length && text[at] == '.' && char.IsAsciiDigit(text[at + 1]))
        {
            isFloat = true;
            at++;
            while (at < text.Length && char.IsAsciiDigit(text[at]))
            {
                at++;
            }
        }

        if (at < text.Length && text[at] is 'e' or 'E')
        {
            var exponent = at + 1 + (at + 1 < text.Length && text[at + 1] is '+' or '-' ? 1 : 0);
            if (exponent < text.Length && char.IsAsciiDigit(text[exponent]))
            {
                isFloat = true;
                at = exponent;
                while (at < text.Length && char.IsAsciiDigit(text[at]))
                {
                    at++;
                }
            }
        }

        var digits = text[from..at].Replace("_", "", StringComparison.Ordinal);
        tokens.Add(new Token(isFloat ? TokenKind.Float : TokenKind.Integer, digits, line));
    }

    private void ReadString(char quote)
    {
        var (first, value) = (line, new StringBuilder());
        for (at++; at < text.Length; at++)
        {
            var c = text[at];
            line += c == '\n' ? 1 : 0;
            if (c == quote)
            {
                at++;
                tokens.Add(new Token(TokenKind.String, value.ToString(), first));
                return;
            }

            if (c != '\\' || at + 1 == text.Length)
            {
                value.Append(c);
                continue;
            }

            AppendEscape(value, text[++at]);
        }

        throw new JinjaException(first, $"a text does not end; expected {quote}.");
    }

    // As Python reads escapes; one that it does not know keeps its backslash.
    private void AppendEscape(StringBuilder value, char c)
    {
        var digits = c switch
        {
            'x' => 2,
            'u' => 4,
            'U' => 8,
            _ => 0,
        };
        if (digits > 0)
        {
            if (
                at + digits >= text.Length
                || !int.TryParse(
                    text.AsSpan(at + 1, digits),
                    NumberStyles.AllowHexSpecifier,
                    CultureInfo.InvariantCulture,
                    out var code
                )
                || code is < 0 or > 0x10ffff
            )
            {
                throw Error($"'\\{c}' is not followed by {digits} digits of a character.");
            }

            value.Append(code > 0xffff ? char.ConvertFromUtf32(code) : ((char)code).ToString());
            at += digits;
            return;
        }

        _ = c switch
        {
            'n' => value.Append('\n'),
            't' => value.Append('\t'),
            'r' => value.Append('\r'),
            'f' => value.Append('\f'),
            'b' => value.Append('\b'),
            'a' => value.Append('\a'),
            'v' => value.Append('\v'),
            '0' => value.Append('\0'),
            '\\' or '\'' or '"' => value.Append(c),
            '\n' => value,
            _ => value.Append('\\').Append(c),
        };
    }

    private void Add(string piece)
    {
        if (piece.Length > 0)
        {
            tokens.Add(new Token(TokenKind.Text, piece, line));
        }
    }

    private void Count(ReadOnlySpan<char> read) => line += read.Count('\n');

    private JinjaException Error(string problem) => new(line, problem);
}
