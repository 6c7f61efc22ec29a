using System.Runtime.CompilerServices;
using Microsoft.Extensions.AI;

namespace GlmTune.Inference.Tests.Tools;

public class ToolLoopTests
{
    private const string Native = "add\n{\"a\": 1, \"b\": 2}<|observation|>";

    [Theory]
    [InlineData("add\n{\"a\": %, \"b\": 2}<|observation|>", "<|assistant|>add\n{\"a\": %, \"b\": 2}<|observation|>\n")]
    [InlineData(
        "\n{\"name\": \"add\", \"arguments\": {\"a\": %, \"b\": 2}}<|observation|>",
        "<|assistant|>\n{\"name\": \"add\", \"arguments\": {\"a\": %, \"b\": 2}}<|observation|>\n"
    )]
    public async Task Calls_are_chained_in_the_style_in_which_the_model_writes_them(string call, string written)
    {
        // 1 + 2 = 3, 3 + 2 = 5, … until ten or more.
        var prompts = new List<string>();
        using var model = ScriptedChat.Answering(prompt =>
        {
            prompts.Add(prompt);
            var last = prompt.LastIndexOf("<|observation|>\n", StringComparison.Ordinal);
            var sum = last < 0 ? "1" : prompt[(last + 16)..^13];
            return int.Parse(sum, null) >= 10 ? $"\nIt is {sum}." : call.Replace("%", sum, StringComparison.Ordinal);
        });
        var (calls, results) = (new List<string>(), new List<string>());
        using var loop = new ToolLoop(
            new GlmChatClient(model),
            new ToolLoopOptions
            {
                Confirm = (use, _) =>
                {
                    calls.Add($"{use.Name} {use.Arguments}");
                    return Task.FromResult(true);
                },
                OnResult = (_, result) => results.Add(result),
            }
        );
        var response = await loop.GetResponseAsync([new(ChatRole.User, "Add")], new ChatOptions { Tools = [Add] });
        Assert.Equal("It is 11.", response.Text);
        Assert.Equal(
            [
                "add {\"a\": 1, \"b\": 2}",
                "add {\"a\": 3, \"b\": 2}",
                "add {\"a\": 5, \"b\": 2}",
                "add {\"a\": 7, \"b\": 2}",
                "add {\"a\": 9, \"b\": 2}",
            ],
            calls
        );
        Assert.Equal(["3", "5", "7", "9", "11"], results);
        Assert.Contains(
            string.Concat(
                new[] { 1, 3, 5, 7 }.Select(sum =>
                    written.Replace("%", $"{sum}", StringComparison.Ordinal) + $"{sum + 2}"
                )
            ),
            prompts[^1],
            StringComparison.Ordinal
        );

        // Each answer after the first read only what was new.
        Assert.True(response.Usage!.CachedInputTokenCount > response.Usage.InputTokenCount / 2);
    }

    [Fact]
    public async Task Nothing_runs_by_default_and_only_what_is_allowed_runs_unasked()
    {
        var runs = 0;
        var tool = AIFunctionFactory.Create(() => ++runs, "add");
        var (refused, prompt) = await Observed(tool, new ToolLoopOptions());
        Assert.Equal((0, "Error: the user did not allow this call."), (runs, refused));
        Assert.EndsWith(
            "<|observation|>\nError: the user did not allow this call.<|assistant|>",
            prompt,
            StringComparison.Ordinal
        );
        await Observed(
            tool,
            new ToolLoopOptions { Confirm = (_, _) => Task.FromResult(false), Allowed = ["ad", "add2"] }
        );
        Assert.Equal(0, runs);
        Assert.Equal(
            "1",
            (
                await Observed(
                    tool,
                    new ToolLoopOptions { Confirm = (_, _) => throw new InvalidOperationException(), Allowed = ["add"] }
                )
            ).Observation
        );
    }

    [Fact]
    public async Task Failures_late_and_long_results_become_observations()
    {
        var brief = new ToolLoopOptions { Allowed = ["add"], MaxResultCharacters = 8 };
        Assert.Equal(
            "Error: d\n(truncated: 8 more characters)",
            (
                await Observed(
                    AIFunctionFactory.Create(int () => throw new InvalidOperationException("disk full"), "add"),
                    brief
                )
            ).Observation
        );
        Assert.Equal(
            "Error: disk full",
            (
                await Observed(
                    AIFunctionFactory.Create(int () => throw new InvalidOperationException("disk full"), "add"),
                    brief with
                    {
                        MaxResultCharacters = 99,
                    }
                )
            ).Observation
        );
        Assert.Equal(
            "1234567\n(truncated: 4 more characters)",
            (await Observed(AIFunctionFactory.Create(() => "1234567😀90", "add"), brief)).Observation
        );

        // One that looks at its token and one that does not; neither ever answers.
        var impatient = new ToolLoopOptions { Allowed = ["add"], CallTimeout = TimeSpan.FromMilliseconds(50) };
        using var never = new ManualResetEventSlim();
        Assert.Equal(
            "Error: no result within 0.05 s.",
            (await Observed(AIFunctionFactory.Create(() => never.Wait(-1), "add"), impatient)).Observation
        );
        Assert.Equal(
            "Error: no result within 0.05 s.",
            (
                await Observed(
                    AIFunctionFactory.Create((CancellationToken stop) => Task.Delay(-1, stop), "add"),
                    impatient
                )
            ).Observation
        );
        never.Set();
    }

    [Fact]
    public async Task A_model_that_never_stops_calling_must_answer_after_ten_calls()
    {
        var runs = 0;
        using var model = ScriptedChat.Answering(prompt =>
            prompt.Contains("## add", StringComparison.Ordinal) ? Native : "\nEnough."
        );
        using var loop = new ToolLoop(
            new GlmChatClient(model),
            new ToolLoopOptions { Allowed = ["add"], OnCall = _ => runs++ }
        );
        var response = await loop.GetResponseAsync([new(ChatRole.User, "Add")], new ChatOptions { Tools = [Add] });
        Assert.Equal((10, "Enough."), (runs, response.Text));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Several_calls_of_one_answer_count_one_by_one_and_anew_in_each_turn(bool stream)
    {
        var (runs, results, round) = (0, new List<string>(), 0);
        using var model = new Calling(
            tools =>
                tools
                    ? [.. Enumerable.Range(0, 4).Select(i => new FunctionCallContent($"{round}-{i}", "one"))]
                    : [new TextContent("Enough.")],
            () => round++
        );
        using var loop = new ToolLoop(
            model,
            new ToolLoopOptions { Allowed = ["one"], OnResult = (_, result) => results.Add(result) }
        );
        var options = new ChatOptions { Tools = [AIFunctionFactory.Create(() => ++runs, "one")] };
        List<ChatMessage> said = [new(ChatRole.User, "Go")];
        foreach (var turn in new[] { 1, 2 })
        {
            var response = stream
                ? await loop.GetStreamingResponseAsync(said, options).ToChatResponseAsync()
                : await loop.GetResponseAsync(said, options);
            Assert.Equal((10 * turn, 4 * turn, "Enough."), (runs, round, response.Messages[^1].Text));
            Assert.Equal(
                [
                    $"{10 * turn}",
                    "Error: a turn may have at most 10 calls.",
                    "Error: a turn may have at most 10 calls.",
                ],
                results.TakeLast(3)
            );
            said = [.. said, .. response.Messages, new(ChatRole.User, "Again")];
        }
    }

    [Fact]
    public async Task A_call_that_a_person_answers_takes_its_time()
    {
        var options = new ToolLoopOptions { Allowed = ["add"], CallTimeout = TimeSpan.FromMilliseconds(1) };
        AIFunction Answering(Task answer) =>
            AIFunctionFactory.Create(
                async (CancellationToken stop) =>
                {
                    await answer.WaitAsync(stop);
                    return "typed";
                },
                "add"
            );
        Assert.StartsWith(
            "Error: no result",
            (await Observed(Answering(Task.Delay(-1)), options)).Observation,
            StringComparison.Ordinal
        );
        Assert.Equal(
            "typed",
            (await Observed(Answering(Task.Delay(100)), options with { Untimed = ["add"] })).Observation
        );
    }

    [Fact]
    public async Task A_result_without_a_character_is_seen_as_one()
    {
        var (observation, prompt) = await Observed(
            AIFunctionFactory.Create(() => "", "add"),
            new ToolLoopOptions { Allowed = ["add"] }
        );
        Assert.Equal(ToolResult.None, observation);
        Assert.EndsWith("<|observation|>\n(no output)<|assistant|>", prompt, StringComparison.Ordinal);
        var seen = "";
        using var model = ScriptedChat.Answering(text =>
            (seen = text).Contains("<|observation|>", StringComparison.Ordinal) ? "\nDone." : Native
        );
        var session = new ChatSession(model);
        await session.AskAsync("Add", TestContext.Current.CancellationToken).Joined();
        await session.ObserveAsync("", TestContext.Current.CancellationToken).Joined();
        Assert.EndsWith("<|observation|>\n(no output)<|assistant|>", seen, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_streamed_answer_can_be_ended_during_a_call()
    {
        using var stop = new CancellationTokenSource();
        using var model = ScriptedChat.Answering(_ => Native);
        using var loop = new ToolLoop(
            new GlmChatClient(model),
            new ToolLoopOptions { Allowed = ["add"], OnCall = _ => stop.Cancel() }
        );
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () =>
        {
            await foreach (
                var _ in loop.GetStreamingResponseAsync(
                    [new(ChatRole.User, "Add")],
                    new ChatOptions { Tools = [Add] },
                    stop.Token
                )
            ) { }
        });
    }

    private static AIFunction Add { get; } = AIFunctionFactory.Create((int a, int b) => a + b, "add");

    private static async Task<(string Observation, string Prompt)> Observed(AIFunction tool, ToolLoopOptions options)
    {
        var (observation, last) = ("", "");
        using var model = ScriptedChat.Answering(prompt =>
        {
            last = prompt;
            return prompt.Contains("<|observation|>", StringComparison.Ordinal) ? "\nDone." : "add\n{}<|observation|>";
        });
        using var loop = new ToolLoop(
            new GlmChatClient(model),
            options with
            {
                OnResult = (_, result) => observation = result,
            }
        );
        Assert.Equal(
            "Done.",
            (await loop.GetResponseAsync([new(ChatRole.User, "Add")], new ChatOptions { Tools = [tool] })).Text
        );
        return (observation, last);
    }

    /// <summary>Answers what a script says for whether there are tools.</summary>
    private sealed class Calling(Func<bool, IList<AIContent>> script, Action asked) : IChatClient
    {
        public Task<ChatResponse> GetResponseAsync(
            IEnumerable<ChatMessage> messages,
            ChatOptions? options = null,
            CancellationToken cancellationToken = default
        )
        {
            var message = new ChatMessage(ChatRole.Assistant, script(options?.Tools is { Count: > 0 }));
            asked();
            return Task.FromResult(new ChatResponse(message));
        }

        public async IAsyncEnumerable<ChatResponseUpdate> GetStreamingResponseAsync(
            IEnumerable<ChatMessage> messages,
            ChatOptions? options = null,
            [EnumeratorCancellation] CancellationToken cancellationToken = default
        )
        {
            foreach (
                var update in (await GetResponseAsync(messages, options, cancellationToken)).ToChatResponseUpdates()
            )
            {
                yield return update;
            }
        }

        public object? GetService(Type serviceType, object? serviceKey = null) => null;

        public void Dispose() { }
    }
}
