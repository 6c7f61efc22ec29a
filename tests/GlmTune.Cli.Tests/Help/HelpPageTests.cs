using System.CommandLine;
using GlmTune.Cli.Help;
using GlmTune.Cli.Language;

namespace GlmTune.Cli.Tests.Help;

public sealed class HelpPageTests
{
    private static readonly RootCommand Root = CommandLine.Root(
        new Screen(TextReader.Null, TextWriter.Null, TextWriter.Null)
    );

    [Fact]
    public void Every_command_has_a_group()
    {
        var groups = CommandGroups.Of(Root);
        Assert.Equal(
            Root.Subcommands.Where(command => !command.Hidden)
                .Select(command => command.Name)
                .Order(StringComparer.Ordinal),
            groups.SelectMany(group => group.Names).Order(StringComparer.Ordinal)
        );
        Assert.DoesNotContain(groups, group => group.Heading == "Other commands:");
    }

    [Fact]
    public void Every_example_is_a_right_command_line_of_its_command() =>
        Assert.All(
            Examples.Commands,
            command =>
                Assert.All(
                    Examples.Of(command),
                    example =>
                    {
                        Assert.StartsWith(command, example, StringComparison.Ordinal);
                        var parsed = Root.Parse(example.Split(' ')[1..]);
                        Assert.Empty(parsed.Errors.Select(error => error.Message));
                        Assert.Empty(parsed.UnmatchedTokens);
                    }
                )
        );

    [Theory]
    [InlineData("train --help", "  glmtune train DATA_DIR MODEL CONFIG [RESUME] [options]")]
    [InlineData("stress --help", "  glmtune stress [PATH] [options]")]
    [InlineData("bench generate --help", "  glmtune bench generate [PATH] [options]")]
    [InlineData("data convert --help", "  glmtune data convert SOURCE TARGET --from ")]
    [InlineData("bench --help", "  glmtune bench COMMAND [options]")]
    [InlineData("--help", "  stress [PATH] ")]
    [InlineData("bench generate --help", "  --batch N[,N…] ")]
    [InlineData("bench generate --help", "[default: 1,16,64]")]
    [InlineData("eval --help", "[default: val]")]
    [InlineData("serve --help", "[default: 8000]")]
    public async Task Brackets_are_around_what_may_be_left_out_and_defaults_are_as_they_are_typed(
        string arguments,
        string expected
    )
    {
        var run = await Run.Of(arguments.Split(' '));
        Assert.Equal(0, run.Code);
        Assert.Contains(expected, run.Output, StringComparison.Ordinal);
        Assert.DoesNotContain("[default: False]", run.Output, StringComparison.Ordinal);
        Assert.DoesNotContain("[default: ]", run.Output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("help", "--help")]
    [InlineData("help train", "train --help")]
    [InlineData("help data check", "data check --help")]
    [InlineData("version", "--version")]
    [InlineData("-v", "--version")]
    public async Task Words_of_habit_mean_the_options(string typed, string meant)
    {
        var run = await Run.Of(typed.Split(' '));
        Assert.Equal(await Run.Of(meant.Split(' ')), run);
        Assert.Equal(0, run.Code);
        Assert.NotEmpty(run.Output);
    }

    [Theory]
    [InlineData("help nonsense")]
    [InlineData("nonsense --help")]
    public async Task Help_of_an_unknown_command_says_so(string arguments)
    {
        var run = await Run.Of(arguments.Split(' '));
        Assert.Equal(2, run.Code);
        Assert.StartsWith("'nonsense' is not a glmtune command", run.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(
        "train a b c --max_steps 3",
        "'--max_steps' is a key of the recipe; write --set training_args.max_steps=3"
    )]
    [InlineData(
        "train a b c --max-steps=3",
        "'--max-steps' is a key of the recipe; write --set training_args.max_steps=3"
    )]
    [InlineData(
        "train a b c --lora_alpha",
        "'--lora_alpha' is a key of the recipe; write --set peft_config.lora_alpha=VALUE"
    )]
    [InlineData("chat a --max_steps 3", "'--max_steps' is not an option of glmtune chat.")]
    public async Task A_key_that_is_typed_as_an_option_is_told_as_a_setting(string arguments, string expected)
    {
        var run = await Run.Of(arguments.Split(' '));
        Assert.Equal(2, run.Code);
        Assert.StartsWith(expected, run.Error, StringComparison.Ordinal);
    }

    [Fact]
    public void No_line_is_wider_than_the_terminal()
    {
        foreach (var catalogue in (Catalogue?[])[null, Catalogue.Chinese])
        {
            var output = new StringWriter();
            var screen = new Screen(TextReader.Null, output, TextWriter.Null) { Width = 80, Catalogue = catalogue };
            var page = new HelpPage(screen);
            foreach (var command in All(CommandLine.Root(screen)))
            {
                page.Write(command);
            }

            // Examples and signatures are not broken: they are copied.
            Assert.All(
                output.ToString().Split('\n').Where(line => !line.StartsWith("  glmtune ", StringComparison.Ordinal)),
                line => Assert.InRange(TextWidth.Of(line), 0, 80)
            );
        }
    }

    [Theory]
    [InlineData("one two three", 24, "one two three")]
    [InlineData("one two three four five six", 24, "one two three four five|six")]
    [InlineData("一二三四五六七八九十一二，三", 24, "一二三四五六七八九十一|二，三")]
    [InlineData("一二三四五 GLM-4-0414-32B 七八", 24, "一二三四五|GLM-4-0414-32B 七八")]
    public void Text_is_broken_between_words_and_between_chinese_characters(string text, int width, string lines) =>
        Assert.Equal(lines.Split('|'), TextWidth.Wrap(text, width));

    private static IEnumerable<Command> All(Command command) => command.Subcommands.SelectMany(All).Prepend(command);
}
