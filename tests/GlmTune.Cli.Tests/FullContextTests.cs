using GlmTune.Cli.Commands;
using GlmTune.Inference;
using GlmTune.Recipes.Chat;

namespace GlmTune.Cli;

/// <summary>A chat that outgrows the context of the model says so and offers to drop its oldest turns.</summary>
[Collection("Ctrl-C")] // There is one Ctrl-C in a process: an answer of another test would take it.
public sealed class FullContextTests : IDisposable
{
    private static readonly string Long = new('长', 20);

    private readonly ModelCopy model = ModelCopy.OfNano();
    private readonly StringWriter output = new();
    private readonly StringWriter error = new();
    private readonly TunedChat chat;

    public FullContextTests()
    {
        model.Edit("config.json", config => config["seq_length"] = 120);
        model.Edit("generation_config.json", config => config.Remove("max_length"));
        chat = TunedChat.Load(model.Path, new TunedChatOptions { Device = "cpu" });
    }

    public void Dispose()
    {
        chat.Dispose();
        model.Dispose();
        output.Dispose();
        error.Dispose();
    }

    [Fact]
    public async Task A_person_is_asked_and_the_system_text_stays()
    {
        var session = Session();
        await Talk(session, typed: true, Long, Long, Long, Long, Long, "y", "exit");
        Assert.Matches(
            "The conversation has [0-9]+ tokens, and the context of the model is limited to 120.\n"
                + "Drop the (oldest turn|[0-9] oldest turns) and answer\\? The system prompt stays.",
            output.ToString()
        );
        Assert.Equal("", error.ToString());
        Assert.Equal("Be kind", session.System);
        Assert.Equal(Long, session.History[^2].Content);
        Assert.InRange(session.History.Count, 2, 8);
    }

    [Fact]
    public async Task A_person_may_keep_everything()
    {
        var session = Session();
        await Talk(session, typed: true, Long, Long, Long, Long, Long, "n", "exit");
        Assert.Contains(
            "Nothing was dropped, and the message was not sent.",
            output.ToString(),
            StringComparison.Ordinal
        );
        Assert.Equal(8, session.History.Count);
    }

    [Fact]
    public async Task Where_nobody_can_answer_the_oldest_turns_go_and_a_note_says_so()
    {
        var session = Session();
        await Talk(session, typed: false, Long, Long, Long, Long, Long, Long);
        Assert.Equal(Long, session.History[^2].Content);
        Assert.Contains("note: The conversation has ", error.ToString(), StringComparison.Ordinal);
        Assert.Contains("dropped; the system prompt stays.", error.ToString(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_message_that_is_too_long_by_itself_is_refused_and_the_chat_goes_on(bool typed)
    {
        var session = Session();
        await Talk(session, typed, Long, new string('长', 200), Long, "exit");
        Assert.Contains(
            "Even without earlier turns the message is too long",
            error.ToString(),
            StringComparison.Ordinal
        );
        Assert.DoesNotContain("(Parameter", error.ToString(), StringComparison.Ordinal);
        Assert.Equal(4, session.History.Count);
    }

    [Fact]
    public async Task A_chat_with_tools_drops_turns_too()
    {
        using var talk = new ToolChat(
            new Screen(new StringReader(string.Join('\n', Long, Long, Long, Long, Long, "exit")), output, error),
            chat.Client,
            [],
            [],
            talks: true
        )
        {
            System = "Be kind",
            Generation = new GenerationOptions { MaxNewTokens = 3, DoSample = false },
        };
        await talk.TalkAsync(TestContext.Current.CancellationToken);
        Assert.Contains("dropped; the system prompt stays.", error.ToString(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0, null)]
    [InlineData(3, 2)] // 100 − 2 · 20 leaves room for a quarter of 80
    [InlineData(1, null)]
    public void As_few_turns_as_possible_are_dropped(int turns, int? expected) =>
        Assert.Equal(
            expected,
            ConversationTooLongException.FewestTurns(turns, dropped => 100 - (20 * dropped), 80, 50)
        );

    [Fact]
    public void All_turns_are_dropped_for_less_room_than_was_wanted()
    {
        Assert.Equal(2, ConversationTooLongException.FewestTurns(2, dropped => 99 - (10 * dropped), 80, 50));
        Assert.Null(ConversationTooLongException.FewestTurns(2, dropped => 100 - (10 * dropped), 80, 50));
    }

    private ChatSession Session() =>
        new(chat.Chat, "Be kind", options: new GenerationOptions { MaxNewTokens = 3, DoSample = false });

    private Task Talk(ChatSession session, bool typed, params string[] lines) =>
        ChatCommand.TalkAsync(
            new Screen(new StringReader(string.Join('\n', lines)), output, error) { InputIsTyped = typed },
            session,
            TestContext.Current.CancellationToken
        );
}
