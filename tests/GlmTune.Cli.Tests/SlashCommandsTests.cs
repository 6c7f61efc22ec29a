using GlmTune.Cli.Commands;
using GlmTune.Data.Conversations;
using GlmTune.Inference;
using GlmTune.Recipes.Chat;

namespace GlmTune.Cli;

[Collection("Ctrl-C")] // There is one Ctrl-C in a process: an answer of another test would take it.
public sealed class SlashCommandsTests : IDisposable
{
    private readonly TemporaryFolder folder = new();
    private readonly TunedChat chat = TunedChat.Load(Run.InRepository("models/glm-nano"));
    private readonly StringWriter output = new();
    private readonly StringWriter error = new();
    private readonly ChatSession session;

    public SlashCommandsTests() =>
        session = new ChatSession(
            chat.Chat,
            "Be kind",
            options: new GenerationOptions { MaxNewTokens = 3, DoSample = false }
        );

    public void Dispose()
    {
        chat.Dispose();
        folder.Dispose();
    }

    [Fact]
    public async Task Commands_are_not_sent_to_the_model()
    {
        await Talk("/help", "/system", "/clear");
        Assert.Empty(session.History);
        Assert.Contains("/save FILE", output.ToString(), StringComparison.Ordinal);
        Assert.Contains("Be kind", output.ToString(), StringComparison.Ordinal);
        Assert.Contains("New conversation.", output.ToString(), StringComparison.Ordinal);
        Assert.Equal("", error.ToString());
    }

    [Fact]
    public async Task A_new_system_prompt_begins_a_new_conversation()
    {
        await Talk("你好", "/system Be brief");
        Assert.Equal("Be brief", session.System);
        Assert.Empty(session.History);
    }

    [Fact]
    public async Task A_saved_conversation_is_a_row_of_data()
    {
        var path = folder.At("talk.jsonl");
        await Talk($"/save {path}", "你好", $"/save {path}", $"/save {path}", "/save");
        var row = Assert.Single(ConversationFile.Rows(path));
        Assert.Empty(row.Problems);
        Assert.Equal(
            [Role.System, Role.User, Role.Assistant],
            row.Conversation!.Messages.Select(message => message.Role)
        );
        Assert.Equal("你好", row.Conversation.Messages[1].Content);
        Assert.Equal(3, error.ToString().Split('\n', StringSplitOptions.RemoveEmptyEntries).Length);
        Assert.Contains("nothing to save", error.ToString(), StringComparison.Ordinal);
        Assert.Contains("already exists", error.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_unknown_command_says_which_was_meant_and_is_not_sent()
    {
        await Talk("/cler");
        Assert.Contains("did you mean '/clear'", error.ToString(), StringComparison.Ordinal);
        Assert.Empty(session.History);
    }

    [Theory]
    [InlineData("/etc/hosts 是什么？"), InlineData(" /help"), InlineData("/"), InlineData("/帮助")]
    public async Task Other_lines_with_a_slash_are_messages(string line)
    {
        await Talk(line);
        Assert.Equal(2, session.History.Count);
    }

    [Fact]
    public async Task Exit_ends_the_conversation()
    {
        await Talk("/exit", "你好");
        Assert.Empty(session.History);
    }

    [Fact]
    public async Task A_stopped_answer_leaves_the_conversation_as_it_was_and_goes_on()
    {
        var writer = new StoppingWriter();
        await ChatCommand.TalkAsync(
            new Screen(new StringReader("你好\n/system"), writer, error) { InputIsTyped = true },
            session,
            TestContext.Current.CancellationToken
        );
        Assert.Equal(1, writer.Stops);
        Assert.Empty(session.History);
        Assert.Contains("[stopped]", writer.ToString(), StringComparison.Ordinal);
        Assert.Contains("Be kind", writer.ToString(), StringComparison.Ordinal);
        Assert.False(AnswerInterrupt.TryStop()); // at the prompt, Ctrl-C ends the program
    }

    private Task Talk(params string[] lines) =>
        ChatCommand.TalkAsync(
            new Screen(new StringReader(string.Join('\n', lines)), output, error),
            session,
            TestContext.Current.CancellationToken
        );

    // Presses Ctrl-C when the first piece of the answer is written.
    private sealed class StoppingWriter : StringWriter
    {
        public int Stops { get; private set; }

        public override Task WriteAsync(string? value)
        {
            Stops += Stops == 0 && AnswerInterrupt.TryStop() ? 1 : 0;
            return base.WriteAsync(value);
        }
    }
}
