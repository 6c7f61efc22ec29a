using GlmTune.Data.Conversations;
using GlmTune.Data.Templates;
using Microsoft.Extensions.AI;

namespace GlmTune.Inference.Tests.Chat;

/// <summary>Answers of a model that thinks before it answers.</summary>
public class ThinkingTests
{
    private const string Opening = "\n<think>";

    private static readonly ToolDefinition Weather = new("function", "weather", """{"name": "weather"}""");

    [Fact]
    public async Task Thoughts_come_before_the_text_and_are_left_out_of_the_next_prompt()
    {
        var prompts = new List<string>();
        using var model = Answering(prompt =>
        {
            prompts.Add(prompt);
            return "\nHm.\n</think>\nHello.\n";
        });
        var session = new ChatSession(model);
        Assert.Equal("Hm.", await session.AskAsync("Hi").Joined(thoughts: true));
        var answer = session.LastAnswer!;
        Assert.Equal(("Hello.", "Hm."), (answer.Text, answer.Reasoning));
        // Of single bytes, from the line break to the end of </think>; then a line break, the text, and the stop token.
        Assert.Equal("\nHm.\n</think>".Length, answer.ReasoningTokens);
        Assert.Equal("\nHm.\n</think>\nHello.\n".Length + 1, answer.AnswerTokens);
        Assert.Equal("Hm.", session.History[1].Reasoning);

        await session.AskAsync("again").Joined();
        Assert.Equal("[gMASK]<sop><|user|>\nHi<|assistant|>\nHello.<|user|>\nagain<|assistant|>", prompts[^1]);
    }

    [Fact]
    public async Task A_call_may_follow_thoughts()
    {
        using var model = Answering(_ => "\nLook.\n</think>\nweather\n{\"city\": \"x\"}<|observation|>");
        var session = new ChatSession(model, tools: [Weather]);
        Assert.Equal("", await session.AskAsync("Rain?").Joined());
        var call = Assert.Single(session.LastAnswer!.Calls);
        Assert.Equal(("weather", """{"city": "x"}"""), (call.Name, call.Arguments));
        Assert.Equal("Look.", session.LastAnswer.Reasoning);
    }

    [Fact]
    public async Task A_call_that_must_be_made_is_made_without_thoughts()
    {
        using var model = Answering(_ => "\n\n</think>\nweather\n{}<|observation|>");
        var answer = await model.AnswerAsync(
            new ChatRequest(
                new Conversation([new Message(Role.System, "") { Tools = [Weather] }, new Message(Role.User, "Rain?")])
            )
            {
                RequiredTool = "weather",
            },
            TestContext.Current.CancellationToken
        );
        Assert.Equal(("{}", "", 0), (Assert.Single(answer.Calls).Arguments, answer.Reasoning, answer.ReasoningTokens));
    }

    [Fact]
    public async Task Thoughts_that_the_limit_cuts_off_leave_no_answer()
    {
        using var model = Answering(_ => "\nSo many words");
        var answer = await model.AnswerAsync(
            new ChatRequest(new Conversation([new Message(Role.User, "Hi")]))
            {
                Options = new GenerationOptions { MaxNewTokens = 8 },
            },
            TestContext.Current.CancellationToken
        );
        Assert.Equal(
            ("", "So many", FinishReason.Length, 8),
            (answer.Text, answer.Reasoning, answer.Finish, answer.ReasoningTokens)
        );
        Assert.Empty(answer.Messages);
    }

    [Fact]
    public async Task The_chat_client_tells_thoughts_apart_and_counts_them()
    {
        using var model = Answering(_ => "\nHm.\n</think>\nHello.");
        using var client = new GlmChatClient(model);
        var response = await client.GetResponseAsync("Hi", cancellationToken: TestContext.Current.CancellationToken);
        Assert.Equal("Hello.", response.Text);
        Assert.Equal(
            "Hm.",
            string.Concat(
                response
                    .Messages.SelectMany(message => message.Contents)
                    .OfType<TextReasoningContent>()
                    .Select(part => part.Text)
            )
        );
        Assert.Equal(13, response.Usage!.ReasoningTokenCount);
    }

    private static ChatModel Answering(Func<string, string> script) =>
        ScriptedChat.Answering(prompt => Opening + script(prompt), TemplatePreset.Z1);
}
