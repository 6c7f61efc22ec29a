using System.CommandLine;
using System.CommandLine.Parsing;
using GlmTune.Recipes.Configuration;

namespace GlmTune.Cli;

/// <summary>What is wrong with a command line, a line for each problem.</summary>
internal static class WrongCommandLine
{
    /// <summary>Whether an argument looks like an option, so that it would be taken for a path.</summary>
    public static bool HasStrayOption(ParseResult given) => StrayOptions(given).Any();

    /// <summary>Says all of it.</summary>
    public static void Tell(ParseResult given, TextWriter error)
    {
        // The first word decides; where it is wrong, what else looks like a command is not one.
        var command =
            given.Tokens.Count > 0 && given.UnmatchedTokens.Contains(given.Tokens[0].Value)
                ? given.RootCommandResult.Command
                : given.CommandResult.Command;
        var name = string.Join(' ', Names(command));
        // What follows a command that there is not cannot be judged.
        List<string> unknown =
            command.Subcommands.Count > 0
                ? [.. given.UnmatchedTokens.Take(1)]
                : [.. StrayOptions(given), .. given.UnmatchedTokens];
        foreach (var word in unknown)
        {
            error.WriteLine(Unknown(word, command, name));
        }

        foreach (
            var problem in given.Errors.Where(problem =>
                !(
                    problem.SymbolResult is CommandResult
                    && given.UnmatchedTokens.Any(word =>
                        problem.Message.Contains($"'{word}'", StringComparison.Ordinal)
                    )
                )
            )
        )
        {
            if (unknown.Count == 0 || command.Subcommands.Count == 0)
            {
                error.WriteLine(OneLine(problem));
            }
        }
    }

    private static string Unknown(string word, Command command, string name)
    {
        if (command.Subcommands.Count > 0)
        {
            var commands = command.Subcommands.Select(inner => inner.Name).ToList();
            return $"'{word}' is no command of {name}{Meant(word, commands)} There are {string.Join(", ", commands)}.";
        }

        return word.StartsWith('-')
            ? $"'{word}' is no option of {name}{Meant(word, command.Options.Select(option => option.Name))} `{name} "
                + "--help` lists them."
            : $"'{word}' is one argument too many for {name}; `{name} --help` lists them.";
    }

    private static string Meant(string word, IEnumerable<string> candidates) =>
        Suggestion.Text(word, candidates) is { Length: > 0 } near ? near : ".";

    private static string OneLine(ParseError problem)
    {
        var message = string.Join(
            ' ',
            problem.Message.Split((char[])['\n', '\r', '\t'], StringSplitOptions.RemoveEmptyEntries)
        );
        return
            (problem.SymbolResult as OptionResult ?? problem.SymbolResult?.Parent as OptionResult)
                is { Option: var option }
            && !message.Contains(option.Name, StringComparison.Ordinal)
            ? $"{option.Name}: {message}"
            : message;
    }

    private static IEnumerable<string> StrayOptions(ParseResult given) =>
        given
            .CommandResult.Children.OfType<ArgumentResult>()
            .SelectMany(argument => argument.Tokens)
            .Select(token => token.Value)
            .Where(text => text.StartsWith("--", StringComparison.Ordinal));

    private static IEnumerable<string> Names(Command command) =>
        [
            .. command.Parents.OfType<Command>().Take(1).SelectMany(Names),
            command is RootCommand ? "glmtune" : command.Name,
        ];
}
