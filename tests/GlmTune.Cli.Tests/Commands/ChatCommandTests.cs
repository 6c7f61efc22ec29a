using GlmTune.Data.Conversations;
using GlmTune.Inference;

namespace GlmTune.Cli.Commands;

public sealed class ChatCommandTests
{
    [Theory]
    [InlineData("Hello", "Hello\n")]
    [InlineData("a\u202eb\u2066c\u0085d", "a\\u202eb\\u2066c\\u0085d\n")]
    [InlineData(
        "\u001b]8;;http://x\u0007y\u001b]52;c;eA==\u001b\\",
        "\\u001b]8;;http://x\\u0007y\\u001b]52;c;eA==\\u001b\\\n"
    )]
    [InlineData("a\u001b]0;title\u0007b\u001b[2J", "a\\u001b]0;title\\u0007b\\u001b[2J\n")]
    [InlineData("one\r\ntwo\tthree\b\u009b1m", "one\\u000d\ntwo\tthree\\u0008\\u009b1m\n")]
    [InlineData("裙子 👩\u200d🚀", "裙子 👩\u200d🚀\n")]
    public async Task An_answer_cannot_steer_the_terminal_however_it_is_cut_into_pieces(string answer, string shown)
    {
        Assert.Equal(shown, await Shown([answer]));
        Assert.Equal(shown, await Shown([.. answer.EnumerateRunes().Select(rune => rune.ToString())]));
    }

    [Fact]
    public async Task Calls_follow_the_text_and_cannot_look_like_a_turn()
    {
        var call = new ToolCall("f\u001b[8m\nYou: ", "{\"a\": \"\u001b[1A\"}\r\n", ToolCallStyle.Native);
        Assert.Equal("Look\nf\\u001b[8m\\nYou: \n{\"a\": \"\\u001b[1A\"}\\u000d\n\n", await Shown(["Look"], call));
        Assert.Equal(
            "g\n{}\nh\n[]\n",
            await Shown([], new ToolCall("g", "{}", ToolCallStyle.Native), new ToolCall("h", "[]", ToolCallStyle.Json))
        );
    }

    [Theory]
    [InlineData("--json", "--json requires --prompt.")]
    [InlineData("--prompt ", "--prompt: the prompt is empty.")]
    [InlineData("--allow read_file", "--allow requires --mcp.")]
    [InlineData("--temperature hot", "--temperature: 'hot' is not a number of at least 0.")]
    [InlineData("--temperature NaN", "--temperature: 'NaN' is not a number of at least 0.")]
    [InlineData("--top-p 0", "--top-p: '0' is not a number above 0 and at most 1.")]
    [InlineData("--repetition-penalty 0", "--repetition-penalty: '0' is not a number above 0.")]
    [InlineData("--max-new-tokens 1.5", "--max-new-tokens: '1.5' is not a whole number of at least 1.")]
    [InlineData("--seed many", "--seed: 'many' is not a whole number.")]
    public async Task Wrong_options_are_told_in_a_line(string options, string message)
    {
        var run = await Run.Of(["chat", "models/none", .. options.Split(' ')]);
        Assert.Equal((ExitCode.Users, message, ""), (run.Code, run.Error.TrimEnd('\n'), run.Output));
    }

    [Theory]
    [InlineData(false, "<think>\nHm.\n</think>\nFour.\n")]
    [InlineData(true, "\e[2mH\e[22m\e[2mm.\e[22m\n\nFour.\n")]
    public async Task Thoughts_are_dimmed_or_marked(bool hasColor, string expected)
    {
        using var output = new StringWriter();
        var screen = new Screen(TextReader.Null, output, TextWriter.Null) { HasColor = hasColor };
        AnswerText[] pieces = [new("H", true), new("m.", true), new("Four.", false)];
        await ChatCommand.ShowAsync(output, pieces.ToAsyncEnumerable(), () => [], new ThoughtWriter(screen, output));
        Assert.Equal(expected, output.ToString());
    }

    [Fact]
    public async Task Thoughts_cannot_control_the_terminal_and_need_not_be_shown()
    {
        using var output = new StringWriter();
        var screen = new Screen(TextReader.Null, new TerminalWriter(output), TextWriter.Null) { HasColor = true };
        AnswerText[] pieces = [new("\e[31mred", true)];
        await ChatCommand.ShowAsync(
            screen.Output,
            pieces.ToAsyncEnumerable(),
            () => [],
            new ThoughtWriter(screen, screen.Output)
        );
        Assert.DoesNotContain("\e[31m", output.ToString(), StringComparison.Ordinal);
        Assert.Contains("\e[2m", output.ToString(), StringComparison.Ordinal);

        output.GetStringBuilder().Clear();
        await ChatCommand.ShowAsync(
            screen.Output,
            pieces.ToAsyncEnumerable(),
            () => [],
            new ThoughtWriter(screen, null)
        );
        Assert.Equal(Environment.NewLine, output.ToString());
    }

    private static async Task<string> Shown(string[] pieces, params ToolCall[] calls)
    {
        using var output = new StringWriter();
        var screen = new Screen(TextReader.Null, output, TextWriter.Null);
        await ChatCommand.ShowAsync(
            output,
            pieces.Select(piece => new AnswerText(piece, IsThought: false)).ToAsyncEnumerable(),
            () => calls,
            new ThoughtWriter(screen, output)
        );
        return output.ToString();
    }
}
