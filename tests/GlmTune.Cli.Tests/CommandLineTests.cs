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

    [Fact]
    public async Task Help_of_every_command_is_done_and_describes_it()
    {
        var pending = new Stack<System.CommandLine.Command>([CommandLine.Root(new Screen(TextReader.Null, TextWriter.Null, TextWriter.Null))]);
        while (pending.TryPop(out var command))
        {
            string[] path = [.. Names(command)];
            var run = await Run.Of([.. path, "--help"]);
            Assert.Equal(0, run.Code);
            Assert.Empty(run.Error);
            Assert.All(command.Arguments, argument => Assert.False(string.IsNullOrEmpty(argument.Description), $"{command.Name} {argument.Name}"));
            Assert.All(command.Options, option => Assert.False(string.IsNullOrEmpty(option.Description), $"{command.Name} {option.Name}"));
            Assert.False(string.IsNullOrEmpty(command.Description), command.Name);
            foreach (var inner in command.Subcommands)
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
        Assert.Equal(2, ExitCode.Report(Thrown(new AggregateException(new InvalidDataException("a.yaml, line 3: wrong"))), error));
        Assert.Equal("a.yaml, line 3: wrong", error.ToString().Trim());
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
        command.Parents.OfType<System.CommandLine.Command>().FirstOrDefault() is { } parent ? [.. Names(parent), command.Name] : [];
}
