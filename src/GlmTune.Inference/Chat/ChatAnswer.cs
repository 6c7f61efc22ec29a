using GlmTune.Data.Conversations;

namespace GlmTune.Inference;

/// <summary>One piece of a streamed answer.</summary>
/// <param name="Text">New text, in whole characters; may be empty.</param>
/// <param name="Token">The token that it came with; null at the end.</param>
/// <param name="Answer">The complete answer, in the last piece only.</param>
public sealed record ChatPiece(string Text, GeneratedToken? Token, ChatAnswer? Answer)
{
    /// <summary>New text of the thoughts before the answer; may be empty.</summary>
    public string Reasoning { get; init; } = "";

    /// <summary>Whether the token belongs to the thoughts.</summary>
    public bool IsThinking { get; init; }

    /// <summary>New parts of tool calls; usually empty.</summary>
    public IReadOnlyList<ToolCallPiece> Calls { get; init; } = [];
}

/// <summary>A part of a tool call.</summary>
/// <param name="Index">Index of the call within the answer, from 0.</param>
/// <param name="Name">Name of the tool, in the first part only.</param>
/// <param name="Arguments">New text of the arguments; may be empty.</param>
public sealed record ToolCallPiece(int Index, string? Name, string Arguments)
{
    /// <summary>In the first part: the form in which the model writes the call, for
    /// <see cref="WrittenCall.NewId"/>.</summary>
    public string Form { get; init; } = "";
}

/// <summary>The complete answer to a conversation.</summary>
/// <param name="Messages">The messages to add to the conversation; several if the model opened another turn of its
/// own.</param>
/// <param name="Calls">Tool calls in order; usually none or one.</param>
/// <param name="Finish">Why generation stopped.</param>
/// <param name="PromptTokens">Number of tokens in the prompt.</param>
/// <param name="AnswerTokens">Number of generated tokens, including the stop token.</param>
public sealed record ChatAnswer(
    IReadOnlyList<Message> Messages,
    IReadOnlyList<ToolCall> Calls,
    FinishReason Finish,
    int PromptTokens,
    int AnswerTokens
)
{
    /// <summary>The stripped text without calls; equals the concatenated pieces.</summary>
    public required string Text { get; init; }

    /// <summary>The thoughts before the answer, trimmed; empty if there are none.</summary>
    public string Reasoning { get; init; } = "";

    /// <summary>Number of generated tokens that belong to the thoughts and their end; part of
    /// <see cref="AnswerTokens"/>.</summary>
    public int ReasoningTokens { get; init; }

    /// <summary>For each call, the message that makes it.</summary>
    public IReadOnlyList<Message> CallMessages { get; init; } = [];

    /// <summary>Number of prompt tokens found in the KV cache, left there by another answer, and therefore not
    /// processed again.</summary>
    public int CachedTokens { get; init; }
}
