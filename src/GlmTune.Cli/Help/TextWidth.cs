using System.Text;

namespace GlmTune.Cli.Help;

/// <summary>How wide text is on a terminal, where a Chinese character takes two columns.</summary>
internal static class TextWidth
{
    private const int LeastWidth = 24;

    /// <summary>Columns that a text takes.</summary>
    public static int Of(string text) => text.EnumerateRunes().Sum(Of);

    /// <summary>The text, or as much of its beginning as fits with <c>…</c> behind it.</summary>
    /// <param name="text">One line.</param>
    /// <param name="width">In columns.</param>
    public static string Cut(string text, int width)
    {
        if (Of(text) <= width)
        {
            return text;
        }

        var (line, columns) = (new StringBuilder(), 0);
        foreach (var rune in text.EnumerateRunes().TakeWhile(rune => (columns += Of(rune)) < width))
        {
            line.Append(rune);
        }

        return line.ToString().TrimEnd() + "…";
    }

    /// <summary>Splits a text into lines of at most a width; a word that is longer has its own line.</summary>
    /// <param name="text">One paragraph.</param>
    /// <param name="width">In columns; narrow widths are widened to a readable one.</param>
    public static IEnumerable<string> Wrap(string text, int width)
    {
        width = Math.Max(width, LeastWidth);
        var (line, columns) = (new StringBuilder(), 0);
        foreach (var word in Words(text))
        {
            if (columns > 0 && columns + Of(word.TrimEnd()) > width)
            {
                yield return line.ToString().TrimEnd();
                (columns, _) = (0, line.Clear());
            }

            line.Append(word);
            columns += Of(word);
        }

        yield return line.ToString().TrimEnd();
    }

    // What may not be broken: words with the space behind them, single Chinese characters with the marks behind them.
    private static IEnumerable<string> Words(string text)
    {
        var word = new StringBuilder();
        foreach (var (index, rune) in text.EnumerateRunes().Index())
        {
            if (index > 0 && word.Length > 0 && MayBreak(Rune.GetRuneAt(word.ToString(), LastRune(word)), rune))
            {
                yield return word.ToString();
                word.Clear();
            }

            word.Append(rune);
        }

        yield return word.ToString();
    }

    private static int LastRune(StringBuilder word) =>
        word.Length > 1 && char.IsLowSurrogate(word[^1]) ? word.Length - 2 : word.Length - 1;

    private static bool MayBreak(Rune before, Rune after) =>
        after.Value != ' '
        && (before.Value == ' ' || (Of(before) == 2 || Of(after) == 2) && !IsClosing(after) && !IsOpening(before));

    private static bool IsClosing(Rune rune) =>
        "，。；：、？！）」』】》…,.;:)]".Contains(rune.ToString(), StringComparison.Ordinal);

    private static bool IsOpening(Rune rune) => "（「『【《([".Contains(rune.ToString(), StringComparison.Ordinal);

    private static int Of(Rune rune) =>
        rune.Value
            is >= 0x1100
                and <= 0x115f
                or >= 0x2e80
                and <= 0xa4cf
                or >= 0xac00
                and <= 0xd7a3
                or >= 0xf900
                and <= 0xfaff
                or >= 0xfe30
                and <= 0xfe6f
                or >= 0xff00
                and <= 0xff60
                or >= 0xffe0
                and <= 0xffe6
                or >= 0x1f300
                and <= 0x1faff
                or >= 0x20000
                and <= 0x3fffd
            ? 2
            : 1;
}
