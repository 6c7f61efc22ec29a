using System.Runtime.CompilerServices;
using GlmTune.Data.Conversations;

namespace GlmTune.Inference;

/// <summary>A conversation with one person: keeps what was said.</summary>
/// <remarks>An answer that was not waited for to its end leaves the history as it was. Not thread-safe.</remarks>
public sealed class ChatSession(
    ChatModel model,
    string? system = null,
    IReadOnlyList<ToolDefinition>? tools = null,
    GenerationOptions? options = null
)
{
    private readonly List<Message> history = [];

    /// <summary>The system prompt; setting it starts over.</summary>
    public string? System
    {
        get => system;
        set
        {
            system = value;
            Clear();
        }
    }

    /// <summary>What was said, the system message left out.</summary>
    public IReadOnlyList<Message> History => history;

    /// <summary>The last whole answer; null before the first.</summary>
    public ChatAnswer? LastAnswer { get; private set; }

    /// <summary>How answers are generated.</summary>
    public GenerationOptions Options { get; set; } = options ?? new();

    /// <summary>Forgets what was said.</summary>
    public void Clear()
    {
        history.Clear();
        LastAnswer = null;
    }

    /// <summary>Says something.</summary>
    /// <param name="text">What the person says.</param>
    /// <param name="cancellation">Ends the answer.</param>
    /// <returns>The answer's text, piece by piece, in whole characters; <see cref="LastAnswer"/> holds tool
    /// calls.</returns>
    /// <exception cref="ArgumentException">The conversation has become too long, or options are out of
    /// range.</exception>
    public IAsyncEnumerable<string> AskAsync(string text, CancellationToken cancellation = default) =>
        ContinueAsync(new Message(Role.User, text), cancellation);

    /// <summary>Gives the result of a tool call.</summary>
    /// <param name="result">What the tool gave; for nothing, the model sees <see cref="ToolResult.None"/>.</param>
    /// <param name="cancellation">Ends the answer.</param>
    /// <returns>As for <see cref="AskAsync"/>.</returns>
    public IAsyncEnumerable<string> ObserveAsync(string result, CancellationToken cancellation = default) =>
        ContinueAsync(new Message(Role.Observation, ToolResult.Shown(result)), cancellation);

    private async IAsyncEnumerable<string> ContinueAsync(
        Message message,
        [EnumeratorCancellation] CancellationToken cancellation
    )
    {
        Message[] first =
            system is null && tools is not { Count: > 0 }
                ? []
                : [new Message(Role.System, system ?? "") { Tools = tools ?? [] }];
        var request = new ChatRequest(new Conversation([.. first, .. history, message])) { Options = Options };
        await foreach (var piece in model.StreamAsync(request, cancellation))
        {
            if (piece.Answer is { } answer)
            {
                history.Add(message);
                history.AddRange(answer.Messages);
                LastAnswer = answer;
            }

            if (piece.Text.Length > 0)
            {
                yield return piece.Text;
            }
        }
    }
}
