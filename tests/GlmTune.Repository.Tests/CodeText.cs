namespace GlmTune.Repository.Tests;

/// <summary>The text of a code block.</summary>
/// <param name="Language">What stands after the fence, such as <c>sh</c>; empty without it.</param>
/// <param name="Text">Its lines.</param>
internal sealed record CodeText(string Language, string Text)
{
    /// <summary>Its lines, with the words of each comment replaced by <c>…</c>.</summary>
    public IReadOnlyList<string> LinesWithoutComments =>
        [.. Text.Split('\n').Select(line => WithoutComment(line.TrimEnd()))];

    private string Mark =>
        Language switch
        {
            "json" => "",
            "csharp" => "//",
            _ => "#",
        };

    // A comment begins with its mark and a space, at the start or after a space, outside quotes: "#SBATCH" is none.
    private string WithoutComment(string line)
    {
        var quote = '\0';
        for (var at = 0; at < line.Length && Mark.Length > 0; at++)
        {
            var isMark = quote == '\0' && line.AsSpan(at).StartsWith(Mark + " ", StringComparison.Ordinal);
            if (isMark && (at == 0 || line[at - 1] == ' '))
            {
                return line[..at].TrimEnd() + Mark + "…";
            }

            if (quote != '\0')
            {
                quote = line[at] == quote ? '\0' : quote;
            }
            else if (line[at] is '"' or '\'')
            {
                quote = line[at];
            }
        }

        return line;
    }
}
