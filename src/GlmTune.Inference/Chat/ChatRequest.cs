using GlmTune.Constraints;
using GlmTune.Data.Conversations;

namespace GlmTune.Inference;

/// <summary>A conversation to answer.</summary>
/// <param name="Conversation">The conversation; the last message must be from a user or a tool.</param>
public sealed record ChatRequest(Conversation Conversation) : ChatSettings;

/// <summary>A conversation that is ready to be answered: the prompt's tokens instead of its messages, which need not be
/// kept. Created by <see cref="ChatModel.Prepare"/>.</summary>
public sealed record PreparedChat : ChatSettings
{
    internal PreparedChat(ChatSettings settings, int[] prompt, IReadOnlySet<string> tools)
        : base(settings) => (Prompt, Tools) = (prompt, tools);

    /// <summary>Token ids of the prompt, without the name of a required tool.</summary>
    public int[] Prompt { get; }

    /// <summary>Names of the declared tools.</summary>
    public IReadOnlySet<string> Tools { get; }
}

/// <summary>Options for answering a conversation.</summary>
public abstract record ChatSettings
{
    /// <summary>Generation options; unset values are taken from the model.</summary>
    public GenerationOptions Options { get; init; } = new();

    /// <summary>Name of the served adapter to use; null: the base model, or the adapter attached to it.</summary>
    public string? Adapter { get; init; }

    /// <summary>Whose conversation it is: prompts of several clients are processed in turns. Null counts as one
    /// client.</summary>
    public string? Client { get; init; }

    /// <summary>Stop sequences that end the answer and are not part of it.</summary>
    public IReadOnlyList<string> StopTexts { get; init; } = [];

    /// <summary>The tool that must be called; null: the model decides.</summary>
    public string? RequiredTool { get; init; }

    /// <summary>Whether to return the log probability of each token.</summary>
    public bool LogProbabilities { get; init; }

    /// <summary>How many of the most likely tokens to return per position.</summary>
    public int TopLogProbabilities { get; init; }

    /// <summary>Grammar that the answer must follow; null: none.</summary>
    internal AnswerGrammar? Grammar { get; init; }

    /// <summary>Whether calls in GLM-4's own style are streamed while their arguments are generated. A call cut off by
    /// the length limit then counts as a call, not as text.</summary>
    public bool StreamCalls { get; init; }

    /// <summary>Forbids tokens, if there is no <see cref="Grammar"/>; null: none.</summary>
    internal TokenMask? Mask { get; init; }
}
