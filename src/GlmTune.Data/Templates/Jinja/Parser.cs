namespace GlmTune.Data.Templates.Jinja;

/// <summary>Reads statements from tokens.</summary>
internal sealed class Parser(IReadOnlyList<Token> tokens)
{
    private readonly TokenReader reader = new(tokens);

    /// <summary>The whole template.</summary>
    /// <exception cref="JinjaException">It is not well-formed, or uses what is not supported here.</exception>
    public Body ReadTemplate()
    {
        var body = ReadUntil();
        return reader.Current.Kind == TokenKind.End
            ? new Body(body)
            : throw reader.Error($"'{reader.Peek(1).Text}' ends nothing.");
    }

    // Statements up to a tag that begins with one of these words, which stays unread.
    private List<Statement> ReadUntil(params string[] ends)
    {
        List<Statement> body = [];
        using var level = reader.Nest();
        while (reader.Current.Kind != TokenKind.End)
        {
            var (kind, text, line) = reader.Current;
            switch (kind)
            {
                case TokenKind.Text:
                    reader.Next();
                    body.Add(new WriteText(line, text));
                    break;
                case TokenKind.PrintStart:
                    reader.Next();
                    body.Add(new WriteValue(line, new ExpressionParser(reader).ReadWithTuples()));
                    reader.Expect(TokenKind.PrintEnd, "'}}'");
                    break;
                default:
                    var word = reader.Peek(1).Text;
                    if (
                        ends.Contains(word)
                        || word.StartsWith("end", StringComparison.Ordinal)
                        || word is "else" or "elif"
                    )
                    {
                        return body;
                    }

                    reader.Next();
                    body.Add(ReadStatement(line));
                    break;
            }
        }

        return body;
    }

    private Statement ReadStatement(int line)
    {
        var word = reader.ExpectName();
        switch (word)
        {
            case "if":
                return ReadIf(line);
            case "for":
                return ReadFor(line);
            case "set":
                return ReadSet(line);
            case "macro":
                return ReadMacro(line);
            case "break" or "continue":
                reader.Expect(TokenKind.BlockEnd, "'%}'");
                return new Leave(line, word == "break" ? Flow.Break : Flow.Continue);
            case "generation":
                reader.Expect(TokenKind.BlockEnd, "'%}'");
                var written = ReadUntil();
                End("endgeneration");
                return new Generation(line, written);
            default:
                throw new JinjaException(line, $"the tag '{word}' is not supported.");
        }
    }

    private If ReadIf(int line)
    {
        List<(Expression, IReadOnlyList<Statement>)> branches = [];
        IReadOnlyList<Statement> otherwise = [];
        do
        {
            var condition = new ExpressionParser(reader).ReadWithTuples();
            reader.Expect(TokenKind.BlockEnd, "'%}'");
            branches.Add((condition, ReadUntil()));
        } while (TryTag("elif"));
        if (TryTag("else"))
        {
            reader.Expect(TokenKind.BlockEnd, "'%}'");
            otherwise = ReadUntil();
        }

        End("endif");
        return new If(line, branches, otherwise);
    }

    private For ReadFor(int line)
    {
        var names = ReadNames();
        reader.ExpectWord("in");
        var expressions = new ExpressionParser(reader);
        var items = expressions.ReadWithoutChoice();
        var condition = reader.TryWord("if") ? expressions.Read() : null;
        if (reader.TryWord("recursive"))
        {
            throw new JinjaException(line, "recursive loops are not supported.");
        }

        reader.Expect(TokenKind.BlockEnd, "'%}'");
        var body = ReadUntil();
        IReadOnlyList<Statement> otherwise = [];
        if (TryTag("else"))
        {
            reader.Expect(TokenKind.BlockEnd, "'%}'");
            otherwise = ReadUntil();
        }

        End("endfor");
        return new For(line, names, items, condition, body, otherwise);
    }

    private Statement ReadSet(int line)
    {
        var names = ReadNames();
        var member = names.Count == 1 && reader.TryOperator(".") ? reader.ExpectName() : null;
        if (reader.TryOperator("="))
        {
            var value = new ExpressionParser(reader).ReadWithTuples();
            reader.Expect(TokenKind.BlockEnd, "'%}'");
            return new Set(line, names, member, value);
        }

        if (names.Count > 1 || member is not null)
        {
            throw reader.Error("expected '='.");
        }

        reader.Expect(TokenKind.BlockEnd, "'=' or '%}'");
        var written = ReadUntil();
        End("endset");
        return new SetText(line, names[0], written);
    }

    private Macro ReadMacro(int line)
    {
        var name = reader.ExpectName();
        List<(string, Expression?)> parameters = [];
        reader.ExpectOperator("(");
        while (!reader.TryOperator(")"))
        {
            if (parameters.Count > 0)
            {
                reader.ExpectOperator(",");
            }

            var parameter = reader.ExpectName();
            parameters.Add((parameter, reader.TryOperator("=") ? new ExpressionParser(reader).Read() : null));
        }

        reader.Expect(TokenKind.BlockEnd, "'%}'");
        var body = ReadUntil();
        End("endmacro");
        return new Macro(line, name, parameters, body);
    }

    private List<string> ReadNames()
    {
        var bracketed = reader.TryOperator("(");
        List<string> names = [reader.ExpectName()];
        while (reader.TryOperator(","))
        {
            names.Add(reader.ExpectName());
        }

        if (bracketed)
        {
            reader.ExpectOperator(")");
        }

        return names;
    }

    private bool TryTag(string word)
    {
        if (
            reader.Current.Kind != TokenKind.BlockStart
            || reader.Peek(1) is not { Kind: TokenKind.Name } name
            || name.Text != word
        )
        {
            return false;
        }

        reader.Next();
        reader.Next();
        return true;
    }

    private void End(string word)
    {
        if (!TryTag(word))
        {
            throw reader.Error(
                reader.Current.Kind == TokenKind.End
                    ? $"'{word}' is missing."
                    : $"expected '{word}', found '{reader.Peek(1).Text}'."
            );
        }

        // The name of a macro may be said again.
        if (reader.Current.Kind == TokenKind.Name)
        {
            reader.Next();
        }

        reader.Expect(TokenKind.BlockEnd, "'%}'");
    }
}
