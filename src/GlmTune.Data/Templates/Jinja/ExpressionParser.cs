using System.Globalization;

namespace GlmTune.Data.Templates.Jinja;

/// <summary>Reads expressions, with Jinja's precedence.</summary>
internal sealed class ExpressionParser(TokenReader reader)
{
    private static readonly string[] Comparisons = ["==", "!=", "<", "<=", ">", ">="];

    /// <summary>An expression; a comma makes it a list.</summary>
    public Expression ReadWithTuples()
    {
        var line = reader.Current.Line;
        var first = Read();
        if (!reader.Current.Is(","))
        {
            return first;
        }

        List<Expression> items = [first];
        while (reader.TryOperator(","))
        {
            if (reader.Current.Kind is TokenKind.BlockEnd or TokenKind.PrintEnd || reader.Current.Is(")"))
            {
                break;
            }

            items.Add(Read());
        }

        return new TupleOf(line, items);
    }

    /// <summary>An expression.</summary>
    public Expression Read()
    {
        using var level = reader.Nest();
        var line = reader.Current.Line;
        var value = ReadWithoutChoice();
        while (reader.TryWord("if"))
        {
            var condition = ReadWithoutChoice();
            value = new Choice(line, value, condition, reader.TryWord("else") ? Read() : null);
        }

        return value;
    }

    /// <summary>An expression without <c>x if y else z</c>.</summary>
    public Expression ReadWithoutChoice()
    {
        var left = ReadAnd();
        while (reader.Current is { Line: var line } && reader.TryWord("or"))
        {
            left = new Either(line, IsOr: true, left, ReadAnd());
        }

        return left;
    }

    private Expression ReadAnd()
    {
        var left = ReadNot();
        while (reader.Current is { Line: var line } && reader.TryWord("and"))
        {
            left = new Either(line, IsOr: false, left, ReadNot());
        }

        return left;
    }

    private Expression ReadNot()
    {
        using var level = reader.Nest();
        return reader.Current is { Line: var line } && reader.TryWord("not")
            ? new Negated(line, ReadNot())
            : ReadComparison();
    }

    private Expression ReadComparison()
    {
        var line = reader.Current.Line;
        var first = ReadSum();
        List<(string, Expression)> others = [];
        while (true)
        {
            if (Array.Find(Comparisons, name => reader.Current.Is(name)) is { } name)
            {
                reader.Next();
                others.Add((name, ReadSum()));
            }
            else if (reader.TryWord("in"))
            {
                others.Add(("in", ReadSum()));
            }
            else if (reader.Current.Is("not") && reader.Peek(1).Is("in"))
            {
                reader.Next();
                reader.Next();
                others.Add(("not in", ReadSum()));
            }
            else
            {
                return others.Count == 0 ? first : new Comparison(line, first, others);
            }
        }
    }

    private Expression ReadSum() => ReadBinary(ReadJoined, "+", "-");

    private Expression ReadJoined() => ReadBinary(ReadProduct, "~");

    private Expression ReadProduct() => ReadBinary(ReadPower, "*", "/", "//", "%");

    private Expression ReadPower() => ReadBinary(ReadSigned, "**");

    private Expression ReadBinary(Func<Expression> read, params string[] names)
    {
        var left = read();
        while (reader.Current is { Kind: TokenKind.Operator, Text: var name, Line: var line } && names.Contains(name))
        {
            reader.Next();
            left = new Binary(line, name, left, read());
        }

        return left;
    }

    private Expression ReadSigned() => ReadFiltered(ReadUnfiltered());

    private Expression ReadUnfiltered()
    {
        using var level = reader.Nest();
        var (_, text, line) = reader.Current;
        return reader.TryOperator("-") || reader.TryOperator("+")
            ? new Signed(line, text == "-", ReadUnfiltered())
            : ReadMembers(ReadPrimary());
    }

    private Expression ReadPrimary()
    {
        var token = reader.Next();
        switch (token)
        {
            case { Kind: TokenKind.Name, Text: "true" or "True" }:
                return new Literal(token.Line, true);
            case { Kind: TokenKind.Name, Text: "false" or "False" }:
                return new Literal(token.Line, false);
            case { Kind: TokenKind.Name, Text: "none" or "None" }:
                return new Literal(token.Line, null);
            case { Kind: TokenKind.Name }:
                return new NameOf(token.Line, token.Text);
            case { Kind: TokenKind.Integer }:
                return new Literal(
                    token.Line,
                    long.TryParse(token.Text, NumberStyles.None, CultureInfo.InvariantCulture, out var whole)
                        ? whole
                        : throw new JinjaException(token.Line, $"{token.Text} does not fit 64 bits.")
                );
            case { Kind: TokenKind.Float }:
                return new Literal(token.Line, double.Parse(token.Text, CultureInfo.InvariantCulture));
            case { Kind: TokenKind.String }:
                var text = token.Text;
                while (reader.Current.Kind == TokenKind.String)
                {
                    text += reader.Next().Text;
                }

                return new Literal(token.Line, text);
            case { Kind: TokenKind.Operator, Text: "(" }:
                if (reader.TryOperator(")"))
                {
                    return new TupleOf(token.Line, []);
                }

                var inside = ReadWithTuples();
                reader.ExpectOperator(")");
                return inside;
            case { Kind: TokenKind.Operator, Text: "[" }:
                return new ListOf(token.Line, ReadItems("]", Read));
            case { Kind: TokenKind.Operator, Text: "{" }:
                return new ObjectOf(
                    token.Line,
                    ReadItems(
                        "}",
                        () =>
                        {
                            var key = Read();
                            reader.ExpectOperator(":");
                            return (key, Read());
                        }
                    )
                );
            default:
                throw new JinjaException(
                    token.Line,
                    $"expected a value, found {(token.Text.Length > 0 ? $"'{token.Text}'" : "the end of the tag")}."
                );
        }
    }

    private List<T> ReadItems<T>(string end, Func<T> read)
    {
        List<T> items = [];
        while (!reader.TryOperator(end))
        {
            if (items.Count > 0)
            {
                reader.ExpectOperator(",");
                if (reader.TryOperator(end))
                {
                    break;
                }
            }

            items.Add(read());
        }

        return items;
    }

    private Expression ReadMembers(Expression value)
    {
        while (true)
        {
            var line = reader.Current.Line;
            if (reader.TryOperator("."))
            {
                var key = reader.Next();
                value =
                    key.Kind == TokenKind.Name ? new MemberOf(line, value, new Literal(line, key.Text), true)
                    : key.Kind == TokenKind.Integer
                        ? new MemberOf(
                            line,
                            value,
                            new Literal(line, long.Parse(key.Text, CultureInfo.InvariantCulture)),
                            false
                        )
                    : throw new JinjaException(line, "expected a name after '.'.");
            }
            else if (reader.TryOperator("["))
            {
                value = ReadSubscript(line, value);
            }
            else if (reader.Current.Is("("))
            {
                value = new Call(line, value, ReadArguments());
            }
            else
            {
                return value;
            }
        }
    }

    private Expression ReadSubscript(int line, Expression value)
    {
        Expression? start = reader.Current.Is(":") ? null : Read();
        if (!reader.TryOperator(":"))
        {
            reader.ExpectOperator("]");
            return new MemberOf(line, value, start!, false);
        }

        Expression? Bound() => reader.Current.Is(":") || reader.Current.Is("]") ? null : Read();
        var stop = Bound();
        var step = reader.TryOperator(":") ? Bound() : null;
        reader.ExpectOperator("]");
        return new SliceOf(line, value, start, stop, step);
    }

    private Arguments ReadArguments()
    {
        List<Expression> positional = [];
        List<(string, Expression)> named = [];
        reader.ExpectOperator("(");
        while (!reader.TryOperator(")"))
        {
            if (positional.Count + named.Count > 0)
            {
                reader.ExpectOperator(",");
                if (reader.TryOperator(")"))
                {
                    break;
                }
            }

            if (reader.Current.Kind == TokenKind.Name && reader.Peek(1).Is("="))
            {
                var name = reader.Next().Text;
                reader.Next();
                if (named.Exists(pair => pair.Item1 == name))
                {
                    throw reader.Error($"'{name}' is given twice.");
                }

                named.Add((name, Read()));
            }
            else if (named.Count > 0)
            {
                throw reader.Error("a value without a name follows one with a name.");
            }
            else
            {
                positional.Add(Read());
            }
        }

        return new Arguments(positional, named);
    }

    private Expression ReadFiltered(Expression value)
    {
        while (true)
        {
            var line = reader.Current.Line;
            if (reader.TryOperator("|"))
            {
                var name = reader.ExpectName();
                value = new Filtered(line, value, name, reader.Current.Is("(") ? ReadArguments() : Arguments.None);
            }
            else if (reader.TryWord("is"))
            {
                var negated = reader.TryWord("not");
                var name = reader.ExpectName();
                value = new Tested(line, value, name, ReadTestArguments(), negated);
            }
            else if (reader.Current.Is("("))
            {
                value = new Call(line, value, ReadArguments());
            }
            else
            {
                return value;
            }
        }
    }

    // A test takes its values in brackets, or one without.
    private IReadOnlyList<Expression> ReadTestArguments()
    {
        if (reader.Current.Is("("))
        {
            return ReadArguments().Positional;
        }

        var takesOne = reader.Current switch
        {
            { Kind: TokenKind.String or TokenKind.Integer or TokenKind.Float } => true,
            { Kind: TokenKind.Name, Text: "else" or "or" or "and" or "is" or "if" or "in" or "not" } => false,
            { Kind: TokenKind.Name } => true,
            { Kind: TokenKind.Operator, Text: "[" or "{" } => true,
            _ => false,
        };
        return takesOne ? [ReadMembers(ReadPrimary())] : [];
    }
}
