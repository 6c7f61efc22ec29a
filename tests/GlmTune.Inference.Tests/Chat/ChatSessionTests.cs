using GlmTune.Data.Conversations;

namespace GlmTune.Inference.Tests.Chat;

public class ChatSessionTests
{
    [Fact]
    public async Task What_was_said_is_part_of_the_next_prompt_and_answers_are_stripped()
    {
        var prompts = new List<string>();
        using var model = ScriptedChat.Answering(prompt =>
        {
            prompts.Add(prompt);
            return prompt.Contains("again", StringComparison.Ordinal) ? "\n再见😀!" : "\n Hello. \n";
        });
        var session = new ChatSession(model, "Be kind.");
        Assert.Equal("Hello.", await session.AskAsync("Hi").Joined());
        Assert.Equal("再见😀!", await session.AskAsync("again").Joined());
        Assert.Equal(
            "[gMASK]<sop><|system|>\nBe kind.<|user|>\nHi<|assistant|>\nHello.<|user|>\nagain<|assistant|>",
            prompts[^1]
        );
        Assert.Equal(
            [Role.User, Role.Assistant, Role.User, Role.Assistant],
            session.History.Select(message => message.Role)
        );
        session.Clear();
        await session.AskAsync("Hi").Joined();
        Assert.Equal("[gMASK]<sop><|system|>\nBe kind.<|user|>\nHi<|assistant|>", prompts[^1]);
    }

    [Fact]
    public async Task Pieces_are_whole_characters()
    {
        using var model = ScriptedChat.Answering(_ => "\n好 😀");
        var pieces = new List<string>();
        await foreach (var piece in new ChatSession(model).AskAsync("Hi"))
        {
            pieces.Add(piece.Text);
        }

        Assert.Equal(["好", " 😀"], pieces);
    }

    [Fact]
    public async Task A_tool_is_called_and_its_result_answered()
    {
        var prompts = new List<string>();
        using var model = ScriptedChat.Answering(prompt =>
        {
            prompts.Add(prompt);
            return prompt.Contains("<|observation|>", StringComparison.Ordinal)
                ? "\nWarm."
                : "get_weather\n{\"city\": \"x\"}<|observation|>";
        });
        var session = new ChatSession(
            model,
            tools: [new ToolDefinition("function", "get_weather", """{"name": "get_weather"}""")]
        );
        Assert.Equal("", await session.AskAsync("Weather?").Joined());
        Assert.Equal("get_weather", Assert.Single(session.LastAnswer!.Calls).Name);
        Assert.Equal("Warm.", await session.ObserveAsync("""{"t": 30}""").Joined());
        Assert.EndsWith(
            "<|user|>\nWeather?<|assistant|>get_weather\n{\"city\": \"x\"}<|observation|>\n{\"t\": 30}<|assistant|>",
            prompts[^1],
            StringComparison.Ordinal
        );
    }

    [Fact]
    public async Task Text_and_a_call_in_a_turn_of_its_own_are_two_messages()
    {
        using var model = ScriptedChat.Answering(_ => "\nI look.<|assistant|>get_weather\n{}<|observation|>");
        var session = new ChatSession(
            model,
            tools: [new ToolDefinition("function", "get_weather", """{"name": "get_weather"}""")]
        );
        Assert.Equal("I look.", await session.AskAsync("Weather?").Joined());
        Assert.Equal(["", "", "get_weather"], session.History.Select(message => message.Metadata));
    }

    [Fact]
    public async Task An_answer_that_is_cut_short_leaves_the_history_as_it_was()
    {
        using var model = ScriptedChat.Answering(_ => "\nA long answer.");
        var session = new ChatSession(model);
        await foreach (var _ in session.AskAsync("Hi"))
        {
            break;
        }

        Assert.Empty(session.History);
        Assert.Equal("A long answer.", await session.AskAsync("Hi").Joined());
    }
}
