using System.CommandLine;
using System.Globalization;

namespace GlmTune.Cli;

/// <summary>Answers a shell that completes a command line: <c>glmtune "[suggest:14]" "glmtune chat mod"</c>.</summary>
/// <remarks>The form is that of System.CommandLine's own directive, which shells set up for <c>dotnet-suggest</c> use.
/// Here the program's name at the start is left out, and only what continues the word is offered.</remarks>
internal static class Suggestions
{
    private const string Start = "[suggest:";

    /// <summary>Whether a shell asks, and at which character of its line.</summary>
    public static bool AreAsked(IReadOnlyList<string> arguments, out int position)
    {
        position = 0;
        return arguments is [var directive, _]
            && directive.StartsWith(Start, StringComparison.Ordinal)
            && directive.EndsWith(']')
            && int.TryParse(directive[Start.Length..^1], NumberStyles.None, CultureInfo.InvariantCulture, out position);
    }

    /// <summary>Writes the words that may stand at a position, one a line.</summary>
    /// <param name="root">All commands.</param>
    /// <param name="line">The line, with the program's name.</param>
    /// <param name="position">Characters of it before the cursor.</param>
    /// <param name="output">Receives the words.</param>
    public static void Write(RootCommand root, string line, int position, TextWriter output)
    {
        // Shells may count differently where the line has wide characters.
        var before = line[..Math.Min(position, line.Length)];
        var name = before.IndexOf(' ', StringComparison.Ordinal);
        if (name < 0)
        {
            return;
        }

        var typed = before[(name + 1)..];
        var word = typed[(typed.LastIndexOf(' ') + 1)..];
        foreach (var label in root.Parse(typed).GetCompletions(typed.Length).Select(item => item.Label).Distinct())
        {
            // Those with a slash are Windows' own names of options.
            if (label.StartsWith(word, StringComparison.Ordinal) && label[0] != '/')
            {
                output.WriteLine(label);
            }
        }
    }
}
