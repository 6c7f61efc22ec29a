using System.Runtime.CompilerServices;
using System.Text.Json;
using GlmTune.Data.Conversations;
using Microsoft.Extensions.AI;
using AskedOptions = Microsoft.Extensions.AI.ChatOptions;

namespace GlmTune.Cli;

public sealed class ToolChatTests : IDisposable
{
    private readonly StringWriter output = new();
    private readonly StringWriter error = new();
    private int runs;

    public void Dispose()
    {
        output.Dispose();
        error.Dispose();
    }

    [Theory]
    [InlineData("y\ny\n", 2, 2)]
    [InlineData("n\nyes\n", 1, 2)]
    [InlineData("a\n", 2, 1)]
    [InlineData("\nmaybe\n", 0, 2)]
    public async Task Each_call_is_shown_and_made_when_the_person_says_so(
        string answers,
        int expectedRuns,
        int expectedQuestions
    )
    {
        using var chat = Chat($"Go\n{answers}exit\n", talks: true);
        await chat.TalkAsync(TestContext.Current.CancellationToken);
        Assert.Equal(expectedRuns, runs);
        Assert.Equal(expectedQuestions, output.ToString().Split("Run it?").Length - 1);
        Assert.Contains("[asks to run] erase {\"path\": \"a\"}\n", output.ToString(), StringComparison.Ordinal);
        Assert.Contains("\\u001b[2J\\n", output.ToString(), StringComparison.Ordinal);
        Assert.DoesNotContain('\u001b', output.ToString());
        Assert.EndsWith("Done.\n", output.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_was_allowed_beforehand_runs_unasked()
    {
        using var chat = Chat("Go\n", talks: true, "erase");
        await chat.TalkAsync(TestContext.Current.CancellationToken);
        Assert.Equal((2, false), (runs, output.ToString().Contains("Run it?", StringComparison.Ordinal)));
        Assert.Contains(
            "[running] erase {\"path\": \"a\"}\n[result] erased 1\n",
            output.ToString(),
            StringComparison.Ordinal
        );
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Where_nobody_can_be_asked_nothing_runs(bool json)
    {
        using var chat = Chat("y\ny\n", talks: false);
        await chat.AskOnceAsync("Go", json, TestContext.Current.CancellationToken);
        Assert.Equal(0, runs);
        Assert.Contains("[not allowed (--allow)] erase", error.ToString(), StringComparison.Ordinal);
        if (json)
        {
            var answer = JsonDocument.Parse(output.ToString()).RootElement;
            Assert.Equal(
                ("Done.", 2),
                (answer.GetProperty("text").GetString(), answer.GetProperty("tool_calls").GetArrayLength())
            );
            Assert.StartsWith(
                "Error: the user",
                answer.GetProperty("tool_calls")[0].GetProperty("result").GetString(),
                StringComparison.Ordinal
            );
        }
        else
        {
            Assert.Equal("Done.\n", output.ToString());
        }
    }

    [Fact]
    public void Unknown_and_doubled_names_are_refused()
    {
        Assert.Contains(
            "available: erase",
            Assert.Throws<InvalidDataException>(() => Chat("", true, "arase")).Message,
            StringComparison.Ordinal
        );
        var tool = AIFunctionFactory.Create(() => 1, "x");
        Assert.Throws<InvalidDataException>(() =>
            new ToolChat(new Screen(TextReader.Null, output, error), new Script([]), [tool, tool], [], true)
        );
    }

    [Fact]
    public async Task A_declared_tools_result_is_typed()
    {
        var screen = new Screen(new StringReader("Go\ny\n30 degrees\n"), output, error);
        var tool = ToolChat.Typed(
            screen,
            new ToolDefinition(
                "function",
                "erase",
                """{"name": "erase", "description": "d", "parameters": {"type": "object"}}"""
            )
        );
        Assert.Equal(("d", "object"), (tool.Description, tool.JsonSchema.GetProperty("type").GetString()));
        using var chat = new ToolChat(screen, new Script(["a"]), [tool], [], talks: true);
        await chat.TalkAsync(TestContext.Current.CancellationToken);
        Assert.Contains("[result] 30 degrees\n", output.ToString(), StringComparison.Ordinal);
        Assert.Throws<InvalidDataException>(() => ToolChat.Typed(screen, new ToolDefinition("python", "python", "")));
    }

    [Fact]
    public async Task A_person_may_take_longer_than_a_call()
    {
        var screen = new Screen(new SlowReader("Go\ny\n30 degrees\n"), output, error);
        var tool = ToolChat.Typed(screen, new ToolDefinition("function", "erase", """{"name": "erase"}"""));
        using var chat = new ToolChat(
            screen,
            new Script(["a"]),
            [tool],
            [],
            talks: true,
            TimeSpan.FromMilliseconds(20)
        );
        await chat.TalkAsync(TestContext.Current.CancellationToken);
        Assert.Contains("[result] 30 degrees\n", output.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Answers_cannot_steer_the_terminal()
    {
        using var chat = new ToolChat(
            new Screen(TextReader.Null, output, error),
            new Script([], "a\u001b[2J\r\n\tb\u009b1m 👩‍🚀"),
            [],
            [],
            talks: true
        );
        await chat.AskOnceAsync("Go", json: false, TestContext.Current.CancellationToken);
        Assert.Equal("a\\u001b[2J\\u000d\n\tb\\u009b1m 👩‍🚀\n", output.ToString());
    }

    private ToolChat Chat(string input, bool talks, params string[] allowed) =>
        new(
            new Screen(new StringReader(input), output, error),
            new Script(["a", "\u001b[2J\n"]),
            [AIFunctionFactory.Create((string path) => $"erased {++runs}", "erase")],
            allowed,
            talks
        );

    /// <summary>Asks to erase one path after another, then says that it is done.</summary>
    private sealed class Script(string[] paths, string end = "Done.") : IChatClient
    {
        private int next;

        public Task<ChatResponse> GetResponseAsync(
            IEnumerable<ChatMessage> messages,
            AskedOptions? options = null,
            CancellationToken cancellationToken = default
        ) => GetStreamingResponseAsync(messages, options, cancellationToken).ToChatResponseAsync(cancellationToken);

        public async IAsyncEnumerable<ChatResponseUpdate> GetStreamingResponseAsync(
            IEnumerable<ChatMessage> messages,
            AskedOptions? options = null,
            [EnumeratorCancellation] CancellationToken cancellationToken = default
        )
        {
            await Task.Yield();
            yield return new ChatResponseUpdate(
                ChatRole.Assistant,
                [
                    next == paths.Length
                        ? new TextContent(end)
                        : new FunctionCallContent(
                            $"{next}",
                            "erase",
                            new Dictionary<string, object?> { ["path"] = paths[next] }
                        ),
                ]
            )
            {
                MessageId = $"m{next++}",
            };
        }

        public object? GetService(Type serviceType, object? serviceKey = null) => null;

        public void Dispose() { }
    }

    private sealed class SlowReader(string text) : StringReader(text)
    {
        public override string? ReadLine()
        {
            Thread.Sleep(100);
            return base.ReadLine();
        }
    }
}
