using GlmTune.Data.Conversations;

namespace GlmTune.Inference;

/// <summary>What comes of an answer at one time.</summary>
/// <param name="Text">More of the text, whole characters only; may be empty.</param>
/// <param name="Token">The token that it came with; null at the end.</param>
/// <param name="Answer">The whole answer: at the end only.</param>
public sealed record ChatPiece(string Text, GeneratedToken? Token, ChatAnswer? Answer)
{
    /// <summary>What comes of tool calls; most often nothing.</summary>
    public IReadOnlyList<ToolCallPiece> Calls { get; init; } = [];
}

/// <summary>A part of a tool call.</summary>
/// <param name="Index">Place of the call among those of the answer, from 0.</param>
/// <param name="Name">The tool's name: with the first piece only.</param>
/// <param name="Arguments">More of the arguments' text; may be empty.</param>
public sealed record ToolCallPiece(int Index, string? Name, string Arguments)
{
    /// <summary>With the first piece: how the model writes the call, for <see cref="WrittenCall.NewId"/>.</summary>
    public string Form { get; init; } = "";
}

/// <summary>The answer to a conversation.</summary>
/// <param name="Messages">What a conversation keeps of it; more than one where the model opened another turn by
/// itself.</param>
/// <param name="Calls">Tool calls, in order; most often none or one.</param>
/// <param name="Finish">Why it ended.</param>
/// <param name="PromptTokens">Tokens of the prompt.</param>
/// <param name="AnswerTokens">Tokens that the model gave, the stop token included.</param>
public sealed record ChatAnswer(
    IReadOnlyList<Message> Messages,
    IReadOnlyList<ToolCall> Calls,
    FinishReason Finish,
    int PromptTokens,
    int AnswerTokens
)
{
    /// <summary>The text, stripped, without calls; it equals the pieces put together.</summary>
    public required string Text { get; init; }

    /// <summary>For each of the calls, the message that makes it.</summary>
    public IReadOnlyList<Message> CallMessages { get; init; } = [];

    /// <summary>Tokens of the prompt that were not read again, since another answer had left them in the
    /// cache.</summary>
    public int CachedTokens { get; init; }
}
