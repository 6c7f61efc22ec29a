using System.Buffers;
using System.Globalization;
using System.Text;

namespace GlmTune.Files;

/// <summary>Escapes text of a file, a model, a tool or a request for a terminal, so that it cannot move the cursor,
/// hide or reorder text, set the title or the clipboard, or imitate a confirmation prompt.</summary>
internal static class TerminalText
{
    private const string Reordering = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069";

    private static readonly SearchValues<char> Harmful = SearchValues.Create([
        .. Enumerable.Range(0, 0xa0).Select(c => (char)c).Where(char.IsControl),
        .. Reordering,
    ]);

    /// <summary>As one line: control and format characters are escaped.</summary>
    public static string Visible(string text) =>
        SpellOut(
            text,
            c =>
                char.IsControl(c)
                || char.GetUnicodeCategory(c)
                    is UnicodeCategory.Format
                        or UnicodeCategory.LineSeparator
                        or UnicodeCategory.ParagraphSeparator
        );

    /// <summary>An answer or a part of one: control characters are escaped, except newlines and tabs, and so are those
    /// that reorder the text after them. Other format characters stay, since emoji need them.</summary>
    public static string Lines(string text) =>
        text.AsSpan().ContainsAny(Harmful) ? SpellOut(text, c => Harmful.Contains(c) && c is not ('\n' or '\t')) : text;

    private static string SpellOut(string text, Func<char, bool> which)
    {
        var visible = new StringBuilder();
        foreach (var c in text)
        {
            visible.Append(
                !which(c)
                    ? $"{c}"
                    : c switch
                    {
                        '\n' => "\\n",
                        '\t' => "\\t",
                        _ => string.Create(CultureInfo.InvariantCulture, $"\\u{(int)c:x4}"),
                    }
            );
        }

        return visible.ToString();
    }
}
