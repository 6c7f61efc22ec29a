namespace GlmTune.Cli.Tests.Language;

/// <summary>The texts of the source between values.</summary>
/// <param name="texts">Texts with holes.</param>
internal sealed class SourcePieces(IEnumerable<string> texts)
{
    private readonly HashSet<string> pieces =
    [
        .. texts.SelectMany(text => text.Split('\n')).SelectMany(text => text.Split(SourceTexts.Hole)),
    ];

    private string? joined;

    private string Joined => joined ??= $"\0{string.Join('\0', pieces)}\0";

    /// <summary>Whether a text is part of a piece, or is put together of pieces.</summary>
    public bool Hold(string text)
    {
        text = text.Trim();
        return text.Length == 0
            || Joined.Contains(text, StringComparison.Ordinal)
            || Enumerable
                .Range(1, text.Length - 1)
                .Any(at => Joined.Contains(text[..at] + '\0', StringComparison.Ordinal) && IsContinued(text[at..]));
    }

    /// <summary>The piece that shares the most words with a message.</summary>
    public string Nearest(IEnumerable<string> message)
    {
        var words = message.SelectMany(text => text.Split(' ', StringSplitOptions.RemoveEmptyEntries)).ToHashSet();
        return pieces
            .Where(piece => piece.Contains(' ', StringComparison.Ordinal))
            .MaxBy(piece => piece.Split(' ').Distinct().Count(words.Contains) - piece.Length / 100.0)!;
    }

    private bool IsContinued(string text) =>
        Joined.Contains('\0' + text, StringComparison.Ordinal)
        || Enumerable
            .Range(1, text.Length - 1)
            .Any(at => (at > 1 || !char.IsLetter(text[0])) && pieces.Contains(text[..at]) && IsContinued(text[at..]));
}
