using System.CommandLine;
using System.CommandLine.Parsing;
using GlmTune.Files;

namespace GlmTune.Cli;

/// <summary>Expands <c>~</c> in the paths of a command line, which shells do not do after <c>--option=</c> and inside
/// quotes.</summary>
internal static class PathArguments
{
    private static readonly string[] PathNames = ["DIR", "FILE", "FOLDER", "MODEL", "NAME=PATH", "PATH"];

    /// <summary>Makes a command and its subcommands expand <c>~</c> in every path: in all arguments, and in the options
    /// that take a path.</summary>
    public static void ExpandHome(Command command)
    {
        foreach (var argument in command.Arguments)
        {
            switch (argument)
            {
                case Argument<string> one:
                    one.CustomParser ??= Last;
                    break;
                case Argument<string[]> several:
                    several.CustomParser ??= All;
                    break;
            }
        }

        foreach (var option in command.Options.Where(option => PathNames.Contains(option.HelpName)))
        {
            switch (option)
            {
                case Option<string> one:
                    one.CustomParser ??= Last;
                    break;
                case Option<string[]> several:
                    several.CustomParser ??= All;
                    break;
            }
        }

        foreach (var child in command.Subcommands)
        {
            ExpandHome(child);
        }
    }

    private static string? Last(ArgumentResult given) => given.Tokens is [.., var last] ? Expand(last.Value) : null;

    private static string[] All(ArgumentResult given) => [.. given.Tokens.Select(token => Expand(token.Value))];

    // Also after "NAME=".
    private static string Expand(string value)
    {
        var start = value.IndexOf("=~", StringComparison.Ordinal) + 1;
        return value[..start] + HomePath.Expand(value[start..]);
    }
}
