using System.Globalization;
using System.Text;

namespace GlmTune.Cli;

/// <summary>What a model or a tool wrote, as a terminal may get it: it must not move the cursor, hide text, or look
/// like the question.</summary>
internal static class TerminalText
{
    /// <summary>In one line: control and format characters are spelled out.</summary>
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

    /// <summary>An answer, or a piece of one: control characters are spelled out but newlines and tabs. Emoji need
    /// their format characters.</summary>
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
