using System.CommandLine;

namespace GlmTune.Cli.Help;

/// <summary>The groups in which the help lists commands.</summary>
internal static class CommandGroups
{
    private static readonly (string Heading, string[] Names)[] OfRoot =
    [
        ("Fine-tune:", ["train", "recipe", "fit", "plan", "studio", "board", "checkpoint", "merge", "export"]),
        ("Use a model:", ["chat", "generate", "serve"]),
        ("Evaluate:", ["eval", "metrics"]),
        ("Data and models:", ["data", "tokenize", "model", "forward"]),
        ("Measure:", ["bench", "stress"]),
        ("Set up:", ["sample", "doctor", "setup", "completion"]),
    ];

    /// <summary>The groups of a command's subcommands: headings, and names in their order.</summary>
    public static IReadOnlyList<(string Heading, string[] Names)> Of(Command command)
    {
        if (command is not RootCommand)
        {
            return [("Commands:", [.. command.Subcommands.Select(inner => inner.Name)])];
        }

        var named = OfRoot.SelectMany(group => group.Names).ToHashSet();
        string[] others =
        [
            .. command
                .Subcommands.Where(inner => !inner.Hidden)
                .Select(inner => inner.Name)
                .Where(name => !named.Contains(name)),
        ];
        return others.Length == 0 ? OfRoot : [.. OfRoot, ("Other commands:", others)];
    }
}
