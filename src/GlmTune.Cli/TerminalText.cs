using System.Globalization;
using System.Text;

namespace GlmTune.Cli;

/// <summary>Escapes text of a model or a tool for a terminal, so that it cannot move the cursor, hide text, or imitate
/// the confirmation prompt.</summary>
internal static class TerminalText
{
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

    /// <summary>An answer or a part of one: control characters are escaped, except newlines and tabs. Format characters
    /// stay, since emoji need them.</summary>
    public static string Lines(string text) => SpellOut(text, c => char.IsControl(c) && c is not ('\n' or '\t'));

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
