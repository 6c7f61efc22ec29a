namespace GlmTune.Cli;

public sealed class CommandLineTests
{
    [Theory]
    [InlineData("nonsense")]
    [InlineData("tokenize", "models/none", "--bogus", "x")]
    [InlineData("board", "no-such-folder")]
    [InlineData("board", ".", "--port", "70000")]
    [InlineData("data", "show", "a", "b", "c", "--row", "many")]
    [InlineData("data", "convert", "a", "b", "--from", "unknown-shape")]
    public async Task A_wrong_command_line_is_the_users_problem_and_prints_no_stack(params string[] arguments)
    {
        var run = await Run.Of(arguments);
        Assert.Equal(2, run.Code);
        Assert.NotEmpty(run.Error.Trim());
        Assert.DoesNotContain("   at ", run.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("tokenize", "~/glmtune-none", "--text", "~/x")]
    [InlineData("metrics", "~/glmtune-none")]
    [InlineData("data", "convert", "~/glmtune-none", "b", "--from", "openai")]
    [InlineData("chat", "a", "--prompt", "b", "--tools=~/glmtune-none")]
    [InlineData("board", "~/glmtune-none")]
    public async Task A_tilde_in_a_path_is_the_home_folder_though_no_shell_replaced_it(params string[] arguments)
    {
        var run = await Run.Of(arguments);
        Assert.Equal(2, run.Code);
        Assert.DoesNotContain("~", run.Error, StringComparison.Ordinal);
        Assert.Contains("glmtune-none", run.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("trian data", "'trian' is not a glmtune command; did you mean 'train'? Available: train, chat, ")]
    [InlineData(
        "data chek",
        "'chek' is not a glmtune data command; did you mean 'check'? Available: show, check, convert."
    )]
    [InlineData("train a b", "Required argument 'CONFIG' missing for command: 'train'.")]
    [InlineData(
        "train a b c --bogus",
        "'--bogus' is not an option of glmtune train. Run `glmtune train --help` for the list."
    )]
    [InlineData("train a b c yes --sett=x", "'--sett=x' is not an option of glmtune train")]
    [InlineData("train a b c yes more", "unexpected argument 'more' for glmtune train")]
    [InlineData("train a b c --nproc-per-node x", "--nproc-per-node: 'x' is not a whole number of at least 1.")]
    [InlineData("eval a b c --limit 0", "--limit: '0' is not a whole number of at least 1.")]
    [InlineData("chat a --dtype int8", "--dtype: Argument 'int8' not recognized. Must be one of: 'float32' 'bfloat16'")]
    [InlineData("merge a b --layout new", "--layout: expected original or hf, found 'new'.")]
    [InlineData("data show a b c --row 1.5", "--row: '1.5' is not a whole number.")]
    [InlineData("bench train --rows 0", "--rows: '0' is not a whole number of at least 1.")]
    [InlineData("bench train --zero 4", "--zero: '4' is not a whole number from 0 to 3.")]
    [InlineData("bench train --lengths 1", "--lengths: Argument '1' not recognized.")]
    [InlineData("bench collectives --nproc-per-node 0", "--nproc-per-node: '0' is not a whole number of at least 1.")]
    [InlineData("bench generate --batch 1,0", "--batch: '0' is not a whole number of at least 1.")]
    [InlineData("stress a --token-len 8,x", "--token-len: 'x' is not a whole number of at least 1.")]
    [InlineData("stress --url nowhere", "--url: 'nowhere' is not an http:// or https:// address.")]
    [InlineData("board . --port x", "--port: 'x' is not a whole number from 0 to 65535.")]
    [InlineData("metrics nothing.jsonl", "nothing.jsonl: file not found.")]
    public async Task What_is_wrong_is_said_in_one_line(string arguments, string beginning)
    {
        var run = await Run.Of(arguments.Split(' '));
        Assert.Equal((2, ""), (run.Code, run.Output));
        Assert.StartsWith(beginning, run.Error, StringComparison.Ordinal);
        Assert.Single(run.Error.Split('\n', StringSplitOptions.RemoveEmptyEntries));
    }

    [Theory]
    [InlineData("nothing.yaml")]
    [InlineData("/nothing.yaml")]
    public async Task Everything_that_a_run_lacks_is_said_at_once(string recipe)
    {
        var run = await Run.Of("train", "no-data", "no-model", recipe);
        Assert.Equal((2, ""), (run.Code, run.Output));
        Assert.Collection(
            run.Error.Split('\n', StringSplitOptions.RemoveEmptyEntries),
            line =>
                Assert.StartsWith(
                    $"{recipe}: file not found; expected a recipe such as configs/lora.yaml",
                    line,
                    StringComparison.Ordinal
                ),
            line => Assert.StartsWith("no-model: folder not found", line, StringComparison.Ordinal),
            line => Assert.StartsWith("no-data: folder not found", line, StringComparison.Ordinal)
        );
    }

    [Fact]
    public async Task A_command_that_lacks_another_shows_which_there_are()
    {
        var run = await Run.Of("data");
        Assert.Equal(2, run.Code);
        Assert.Contains("convert", run.Output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("bench generate")]
    [InlineData("bench generate --batch 1 16,64")]
    [InlineData("bench train")]
    [InlineData("bench collectives")]
    [InlineData("stress a --token-len 8,16 --concurrency 1")]
    [InlineData("stress --token-len 8 --token-len 16 --concurrency 1 a")]
    [InlineData("serve a")]
    [InlineData("chat a --temperature 0 --seed -1 --top-p 1e-1")]
    [InlineData("eval a b c --limit 1e3")]
    public void Right_command_lines_are_taken(string arguments) =>
        Assert.Empty(
            CommandLine
                .Root(new Screen(TextReader.Null, TextWriter.Null, TextWriter.Null))
                .Parse(arguments.Split(' '))
                .Errors
        );

    [Fact]
    public async Task Help_of_every_command_is_done_and_describes_it()
    {
        var pending = new Stack<System.CommandLine.Command>([
            CommandLine.Root(new Screen(TextReader.Null, TextWriter.Null, TextWriter.Null)),
        ]);
        while (pending.TryPop(out var command))
        {
            string[] path = [.. Names(command)];
            var run = await Run.Of([.. path, "--help"]);
            Assert.Equal(0, run.Code);
            Assert.Empty(run.Error);
            Assert.All(
                command.Arguments,
                argument => Assert.False(string.IsNullOrEmpty(argument.Description), $"{command.Name} {argument.Name}")
            );
            Assert.All(
                command.Options,
                option => Assert.False(string.IsNullOrEmpty(option.Description), $"{command.Name} {option.Name}")
            );
            Assert.False(string.IsNullOrEmpty(command.Description), command.Name);
            foreach (var inner in command.Subcommands.Where(inner => !inner.Hidden))
            {
                Assert.Contains(inner.Name, run.Output, StringComparison.Ordinal);
                pending.Push(inner);
            }
        }
    }

    [Fact]
    public void An_error_that_no_user_can_mend_shows_its_stack()
    {
        var error = new StringWriter();
        Assert.Equal(1, ExitCode.Report(Thrown(new InvalidOperationException("unlikely")), error));
        Assert.Contains("unlikely", error.ToString(), StringComparison.Ordinal);
        Assert.Contains("   at ", error.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void An_error_of_the_user_is_its_message_alone()
    {
        var error = new StringWriter();
        Assert.Equal(
            2,
            ExitCode.Report(Thrown(new AggregateException(new InvalidDataException("a.yaml, line 3: wrong"))), error)
        );
        Assert.Equal("a.yaml, line 3: wrong", error.ToString().Trim());
    }

    [Fact]
    public void A_library_that_is_missing_is_our_error()
    {
        var error = new StringWriter();
        Assert.Equal(
            1,
            ExitCode.Report(Thrown(new FileNotFoundException("Could not load", "Library, Version=1.0")), error)
        );
        Assert.Equal(
            2,
            ExitCode.Report(
                Thrown(new FileNotFoundException("Could not find", Path.GetFullPath("data/a.jsonl"))),
                error
            )
        );
        Assert.EndsWith(
            $"{Path.Combine("data", "a.jsonl")}: file not found.\n",
            error.ToString(),
            StringComparison.Ordinal
        );
    }

    private static Exception Thrown(Exception exception)
    {
        try
        {
            throw exception;
        }
        catch (Exception caught)
        {
            return caught;
        }
    }

    private static IEnumerable<string> Names(System.CommandLine.Command command) =>
        command.Parents.OfType<System.CommandLine.Command>().FirstOrDefault() is { } parent
            ? [.. Names(parent), command.Name]
            : [];
}
