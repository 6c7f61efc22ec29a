using System.CommandLine;
using System.CommandLine.Parsing;
using GlmTune.Recipes;
using GlmTune.Recipes.Configuration;

namespace GlmTune.Cli;

/// <summary>Reports the problems of a command line, one line each.</summary>
internal static class WrongCommandLine
{
    /// <summary>Whether an argument looks like an option and would be mistaken for a path.</summary>
    public static bool HasStrayOption(ParseResult given) => StrayOptions(given).Any();

    /// <summary>Prints all problems.</summary>
    public static void Tell(ParseResult given, TextWriter error)
    {
        // The first word decides. If it is wrong, other words that look like commands are not commands.
        var command =
            given.Tokens.Count > 0 && given.UnmatchedTokens.Contains(given.Tokens[0].Value)
                ? given.RootCommandResult.Command
                : given.CommandResult.Command;
        var name = string.Join(' ', Names(command));
        // After an unknown command, nothing else can be judged.
        List<string> unknown =
            command.Subcommands.Count > 0
                ? [.. given.UnmatchedTokens.Take(1)]
                : [.. StrayOptions(given), .. given.UnmatchedTokens];
        for (var index = 0; index < unknown.Count; index++)
        {
            var word = unknown[index];
            if (KeyMeant(word, command) is { } key)
            {
                var value =
                    word.Contains('=', StringComparison.Ordinal)
                        ? word[(word.IndexOf('=', StringComparison.Ordinal) + 1)..]
                    : index + 1 < unknown.Count && !unknown[index + 1].StartsWith('-') ? unknown[++index]
                    : "VALUE";
                error.WriteLine($"'{word.Split('=')[0]}' is a key of the recipe; write --set {key}={value}");
            }
            else
            {
                error.WriteLine(Unknown(word, command, name));
            }
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
            return $"'{word}' is not a {name} command{Meant(word, commands)} Available: "
                + $"{string.Join(", ", commands)}.";
        }

        return word.StartsWith('-')
            ? $"'{word}' is not an option of "
                + $"{name}{Meant(word, command.Options.Select(option => option.Name))} Run `{name} --help` for "
                + "the list."
            : $"unexpected argument '{word}' for {name}; run `{name} --help` for its usage.";
    }

    // In other programs, what is a key of the recipe here is an option.
    private static string? KeyMeant(string word, Command command)
    {
        if (!word.StartsWith('-') || command.Options.All(option => option.Name != "--set"))
        {
            return null;
        }

        var name = word.TrimStart('-').Split('=')[0].Replace('-', '_');
        return RecipeFile
            .Keys.FirstOrDefault(key =>
                key.Effect == RecipeKeyEffect.Honoured
                && key.Default.Length > 0
                && (key.Name == name || key.Path == name)
            )
            ?.Path;
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
