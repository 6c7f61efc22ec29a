using System.Runtime.CompilerServices;
using GlmTune.Data.Conversations;

namespace GlmTune.Inference;

/// <summary>A piece of an answer, or of the thoughts before it.</summary>
internal readonly record struct AnswerText(string Text, bool IsThought);

/// <summary>A conversation with one person, with its history.</summary>
/// <remarks>An answer that was not read to its end leaves the history unchanged. Not thread-safe.</remarks>
internal sealed class ChatSession(
    ChatModel model,
    string? system = null,
    IReadOnlyList<ToolDefinition>? tools = null,
    GenerationOptions? options = null
)
{
    private readonly List<Message> history = [];

    /// <summary>The system prompt; setting it starts a new conversation.</summary>
    public string? System
    {
        get => system;
        set
        {
            system = value;
            Clear();
        }
    }

    /// <summary>The history, without the system message.</summary>
    public IReadOnlyList<Message> History => history;

    /// <summary>The last complete answer; null before the first.</summary>
    public ChatAnswer? LastAnswer { get; private set; }

    /// <summary>How answers are generated.</summary>
    public GenerationOptions Options { get; set; } = options ?? new();

    /// <summary>Clears the history.</summary>
    public void Clear()
    {
        history.Clear();
        LastAnswer = null;
    }

    /// <summary>Drops the oldest turns of the history. A turn is a message of the user and all that follows it up to
    /// the next; the system prompt stays.</summary>
    /// <param name="turns">Number of turns.</param>
    public void DropOldest(int turns) => history.RemoveRange(0, EndOfTurn(turns));

    /// <summary>Sends a user message.</summary>
    /// <param name="text">Text of the message.</param>
    /// <param name="cancellation">Cancels the answer.</param>
    /// <returns>The answer piece by piece, in whole characters: thoughts, then text; <see cref="LastAnswer"/> contains
    /// tool calls.</returns>
    /// <exception cref="ConversationTooLongException">The conversation no longer fits; <see cref="DropOldest"/> makes
    /// room.</exception>
    /// <exception cref="ArgumentException">Options are out of range.</exception>
    public IAsyncEnumerable<AnswerText> AskAsync(string text, CancellationToken cancellation = default) =>
        ContinueAsync(new Message(Role.User, text), cancellation);

    /// <summary>Sends the result of a tool call.</summary>
    /// <param name="result">The result; if it is empty, the model sees <see cref="ToolResult.None"/>.</param>
    /// <param name="cancellation">Cancels the answer.</param>
    /// <returns>As for <see cref="AskAsync"/>.</returns>
    public IAsyncEnumerable<AnswerText> ObserveAsync(string result, CancellationToken cancellation = default) =>
        ContinueAsync(new Message(Role.Observation, ToolResult.Shown(result)), cancellation);

    private async IAsyncEnumerable<AnswerText> ContinueAsync(
        Message message,
        [EnumeratorCancellation] CancellationToken cancellation
    )
    {
        var prepared = Prepare(message, dropped: 0);
        var limit = model.ContextLimit(Options);
        if (prepared.Prompt.Length >= limit)
        {
            // The turn that a tool's result belongs to cannot be dropped.
            var turns = history.Count(each => each.Role == Role.User) - (message.Role == Role.User ? 0 : 1);
            throw new ConversationTooLongException(
                prepared.Prompt.Length,
                limit,
                ConversationTooLongException.FewestTurns(
                    turns,
                    dropped => Prepare(message, dropped).Prompt.Length,
                    limit,
                    Options.MaxNewTokens ?? limit
                )
            );
        }

        await foreach (var piece in model.StreamAll([prepared], cancellation)[0].WithCancellation(cancellation))
        {
            if (piece.Answer is { } answer)
            {
                history.Add(message);
                history.AddRange(answer.Messages);
                LastAnswer = answer;
            }

            if (piece.Reasoning.Length > 0)
            {
                yield return new AnswerText(piece.Reasoning, IsThought: true);
            }

            if (piece.Text.Length > 0)
            {
                yield return new AnswerText(piece.Text, IsThought: false);
            }
        }
    }

    private PreparedChat Prepare(Message message, int dropped)
    {
        Message[] first =
            system is null && tools is not { Count: > 0 }
                ? []
                : [new Message(Role.System, system ?? "") { Tools = tools ?? [] }];
        var conversation = new Conversation([.. first, .. history.Skip(EndOfTurn(dropped)), message]);
        return model.Prepare(new ChatRequest(conversation) { Options = Options });
    }

    // How many messages the first so many turns have.
    private int EndOfTurn(int turns) =>
        history
            .Index()
            .Where(each => each.Item.Role == Role.User)
            .Select(each => each.Index)
            .Append(history.Count)
            .ElementAt(turns);
}
