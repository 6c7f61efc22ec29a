using System.CommandLine;
using System.CommandLine.Completions;
using System.CommandLine.Invocation;
using System.Globalization;

namespace GlmTune.Cli.Help;

/// <summary><c>--help</c>: a command's purpose, usage, arguments, options, subcommands and examples.</summary>
/// <param name="screen">Where it is shown, and in which language.</param>
internal sealed class HelpPage(Screen screen) : SynchronousCommandLineAction
{
    private const int MaxNameWidth = 30;

    /// <inheritdoc/>
    public override int Invoke(ParseResult parseResult)
    {
        Write(parseResult.CommandResult.Command);
        return ExitCode.Done;
    }

    /// <summary>Shows the page of a command.</summary>
    public void Write(Command command)
    {
        var output = screen.Output;
        var path = Path(command);
        foreach (var line in Wrapped(Translated(command.Description ?? ""), screen.Width))
        {
            output.WriteLine(line);
        }

        Heading("Usage:");
        output.WriteLine($"  {Usage(command, path)}");
        Section("Arguments:", command.Arguments.Select(argument => (argument.Name, argument.Description ?? "")));
        foreach (var (heading, names) in CommandGroups.Of(command))
        {
            Section(
                heading,
                names
                    .Select(name => command.Subcommands.Single(inner => inner.Name == name))
                    .Select(inner => (Signature(inner), inner.Description ?? ""))
            );
        }

        Section(
            "Options:",
            Options(command).Where(option => !option.Hidden).Select(option => (Name(option), Description(option)))
        );
        var examples = Examples.Of(path);
        if (examples.Count > 0)
        {
            Heading("Examples:");
            foreach (var example in examples)
            {
                output.WriteLine($"  {example}");
            }
        }

        if (command.Subcommands.Count > 0)
        {
            output.WriteLine();
            output.WriteLine(Translated($"Run `{path} COMMAND --help` for the options of a command."));
        }

        output.WriteLine();
    }

    /// <summary>A command with its arguments, those that may be left out in brackets.</summary>
    internal static string Signature(Command command) =>
        string.Join(
            ' ',
            command
                .Arguments.Select(argument =>
                    (argument.Arity.MinimumNumberOfValues == 0, argument.Arity.MaximumNumberOfValues > 1) switch
                    {
                        (true, false) => $"[{argument.Name}]",
                        (true, true) => $"[{argument.Name}…]",
                        (false, true) => $"{argument.Name}…",
                        _ => argument.Name,
                    }
                )
                .Prepend(command.Name)
        );

    private static string Usage(Command command, string path)
    {
        var words = path.Split(' ').SkipLast(1).Append(Signature(command)).ToList();
        if (command is RootCommand)
        {
            words = ["glmtune"];
        }

        if (command.Subcommands.Count > 0)
        {
            words.Add("COMMAND");
        }

        words.AddRange(Options(command).Where(option => option.Required).Select(Name));
        return string.Join(' ', [.. words, "[options]"]);
    }

    private static string Path(Command command) =>
        command is RootCommand ? "glmtune"
        : command.Parents.OfType<Command>().FirstOrDefault() is { } outer ? $"{Path(outer)} {command.Name}"
        : command.Name;

    // Its own, and those of its parents that apply to it as well.
    private static IEnumerable<Option> Options(Command command)
    {
        var inherited = command.Parents.OfType<Command>().SelectMany(Options).Where(option => option.Recursive);
        return command.Options.Concat(inherited);
    }

    private static string Name(Option option)
    {
        if (
            option.ValueType == typeof(bool)
            || option.ValueType == typeof(void)
            || option.Arity.MaximumNumberOfValues == 0
        )
        {
            // Those with a slash are Windows' own; they work, and are not shown.
            var aliases = option.Aliases.Where(alias => alias[0] == '-');
            return string.Join(", ", aliases.OrderBy(alias => alias.Length).Append(option.Name).Distinct());
        }

        return $"{option.Name} {option.HelpName ?? string.Join('|', Values(option))}";
    }

    private static IEnumerable<string> Values(Option option) =>
        option.GetCompletions(CompletionContext.Empty).Select(value => value.Label);

    private string Description(Option option)
    {
        var text = Translated((option.Description ?? "").TrimEnd('.'));
        var standard = option.HasDefaultValue ? Written(option.GetDefaultValue()) : "";
        return standard.Length == 0 ? text : $"{text} {Translated($"[default: {standard}]")}";
    }

    // As it would be typed; empty for what needs no mention.
    private static string Written(object? value) =>
        value switch
        {
            null or false => "",
            string text => text,
            System.Collections.IEnumerable several => string.Join(',', several.Cast<object?>().Select(Written)),
            var one => Convert.ToString(one, CultureInfo.InvariantCulture) ?? "",
        };

    private void Heading(string text)
    {
        screen.Output.WriteLine();
        screen.Output.WriteLine(Translated(text));
    }

    private void Section(string heading, IEnumerable<(string Name, string Text)> entries)
    {
        var rows = entries.ToList();
        if (rows.Count == 0)
        {
            return;
        }

        Heading(heading);
        var width = rows.Select(row => TextWidth.Of(row.Name))
            .Where(width => width <= MaxNameWidth)
            .DefaultIfEmpty()
            .Max();
        var indent = new string(' ', width + 4);
        foreach (var (name, text) in rows)
        {
            var lines = Wrapped(Translated(text), screen.Width - indent.Length).ToList();
            if (TextWidth.Of(name) > width)
            {
                screen.Output.WriteLine($"  {name}");
            }
            else
            {
                screen.Output.WriteLine($"  {name}{new string(' ', width - TextWidth.Of(name))}  {lines[0]}");
                lines.RemoveAt(0);
            }

            foreach (var line in lines)
            {
                screen.Output.WriteLine($"{indent}{line}");
            }
        }
    }

    private static IEnumerable<string> Wrapped(string text, int width) => TextWidth.Wrap(text, width);

    private string Translated(string text) => screen.Translated(text);
}
