namespace GlmTune.Data.Templates.Jinja;

/// <summary>Steps through tokens.</summary>
internal sealed class TokenReader(IReadOnlyList<Token> tokens)
{
    private const int MaxDepth = 100;

    private int at;
    private int depth;

    public Token Current => Peek(0);

    public Token Peek(int ahead) => tokens[Math.Min(at + ahead, tokens.Count - 1)];

    public Token Next() => tokens[Math.Min(at++, tokens.Count - 1)];

    /// <summary>Enters a level of nesting until it is disposed.</summary>
    /// <exception cref="JinjaException">There are too many.</exception>
    public IDisposable Nest()
    {
        if (++depth > MaxDepth)
        {
            throw Error($"tags and brackets are nested more than {MaxDepth} deep.");
        }

        return new Level(this);
    }

    public bool TryOperator(string text) => Try(TokenKind.Operator, text);

    public bool TryWord(string text) => Try(TokenKind.Name, text);

    public void ExpectOperator(string text)
    {
        if (!TryOperator(text))
        {
            throw Expected($"'{text}'");
        }
    }

    public void ExpectWord(string text)
    {
        if (!TryWord(text))
        {
            throw Expected($"'{text}'");
        }
    }

    public string ExpectName() => Current.Kind == TokenKind.Name ? Next().Text : throw Expected("a name");

    public void Expect(TokenKind kind, string what)
    {
        if (Current.Kind != kind)
        {
            throw Expected(what);
        }

        Next();
    }

    public JinjaException Expected(string what) =>
        Error($"expected {what}, found {(Current.Text.Length > 0 ? $"'{Current.Text}'" : "the end of the tag")}.");

    public JinjaException Error(string problem) => new(Current.Line, problem);

    private bool Try(TokenKind kind, string text)
    {
        if (Current.Kind != kind || Current.Text != text)
        {
            return false;
        }

        at++;
        return true;
    }

    private sealed class Level(TokenReader reader) : IDisposable
    {
        public void Dispose() => reader.depth--;
    }
}
