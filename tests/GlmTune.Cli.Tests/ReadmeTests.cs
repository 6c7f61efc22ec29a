using System.CommandLine;
using System.Text.RegularExpressions;

namespace GlmTune.Cli;

public sealed partial class ReadmeTests
{
    [Theory]
    [InlineData("README.md")]
    [InlineData("README_zh.md")]
    public void The_readme_lists_every_command_with_its_arguments_and_no_other(string page)
    {
        var listed = Row()
            .Matches(File.ReadAllText(GoldenData.Path($"../../{page}")))
            .Select(row => row.Groups[1].Value);
        var commands = Leaves(
            CommandLine.Root(new Screen(TextReader.Null, TextWriter.Null, TextWriter.Null)),
            "glmtune"
        );
        Assert.Equal(commands.Order(StringComparer.Ordinal), listed.Order(StringComparer.Ordinal));
    }

    private static IEnumerable<string> Leaves(Command command, string path) =>
        command.Subcommands.Count > 0
            ? command
                .Subcommands.Where(inner => !inner.Hidden)
                .SelectMany(inner => Leaves(inner, $"{path} {inner.Name}"))
            :
            [
                string.Join(
                    ' ',
                    [
                        path,
                        .. command.Arguments.Select(argument =>
                            argument.Arity.MinimumNumberOfValues == 0 ? $"[{argument.Name}]" : argument.Name
                        ),
                    ]
                ),
            ];

    [GeneratedRegex(@"^\| `(glmtune [^`]+)` \|", RegexOptions.Multiline)]
    private static partial Regex Row();
}
