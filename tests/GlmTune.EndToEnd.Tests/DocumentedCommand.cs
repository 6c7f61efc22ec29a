using System.Text;
using System.Text.RegularExpressions;

namespace GlmTune;

/// <summary>A command line of glmtune in a code block of the documentation.</summary>
/// <param name="Page">The file, relative to the repository.</param>
/// <param name="Text">The command as it stands there, without comment and on one line.</param>
/// <param name="Words">The words of the whole line, unquoted; the launcher comes first, if there is one.</param>
internal sealed partial record DocumentedCommand(string Page, string Text, IReadOnlyList<string> Words)
{
    /// <summary>The words after <c>glmtune</c>.</summary>
    public string[] Arguments => [.. Words.SkipWhile(word => word != "glmtune").Skip(1)];

    /// <summary>Whether the line starts the program itself and not a launcher.</summary>
    public bool IsPlain => Words[0] == "glmtune";

    /// <summary>All commands of a page, in order.</summary>
    public static IEnumerable<DocumentedCommand> Of(string page, string text) =>
        from Match block in CodeBlock().Matches(text)
        where block.Groups["language"].Value is "" or "sh" or "bash"
        from line in block.Groups["code"].Value.Replace("\\\n", " ", StringComparison.Ordinal).Split('\n')
        let words = Split(line)
        where words.Contains("glmtune") && !words.Contains("tool") && words[0] != "dnx" && !words.Contains("-t")
        select new DocumentedCommand(page, string.Join(' ', words), words);

    // As a shell does it: quotes, a comment after a space, a prompt of "$ ".
    private static List<string> Split(string line)
    {
        var words = new List<string>();
        var word = new StringBuilder();
        var (quote, started) = ('\0', false);
        foreach (var c in line.TrimStart())
        {
            if (quote == '\0' && c == '#' && !started)
            {
                break;
            }

            if (quote == '\0' && c is ' ')
            {
                Add();
            }
            else if (c == quote)
            {
                quote = '\0';
            }
            else if (quote == '\0' && c is '"' or '\'')
            {
                (quote, started) = (c, true);
            }
            else
            {
                started = true;
                word.Append(c);
            }
        }

        Add();
        if (words.FirstOrDefault() == "$")
        {
            words.RemoveAt(0);
        }

        return words;

        void Add()
        {
            if (started)
            {
                words.Add(word.ToString());
            }

            word.Clear();
            started = false;
        }
    }

    [GeneratedRegex(@"^```(?<language>\w*)\n(?<code>.*?)^```", RegexOptions.Multiline | RegexOptions.Singleline)]
    private static partial Regex CodeBlock();
}
