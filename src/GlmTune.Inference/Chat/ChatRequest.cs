using GlmTune.Constraints;
using GlmTune.Data.Conversations;

namespace GlmTune.Inference;

/// <summary>A conversation to be answered.</summary>
/// <param name="Conversation">It ends with a message of the user or of a tool.</param>
public sealed record ChatRequest(Conversation Conversation) : ChatSettings;

/// <summary>A conversation that is ready to be answered: its prompt's tokens instead of its messages, which need not be
/// kept. <see cref="ChatModel.Prepare"/> makes it.</summary>
public sealed record PreparedChat : ChatSettings
{
    internal PreparedChat(ChatSettings settings, int[] prompt, IReadOnlySet<string> tools)
        : base(settings) => (Prompt, Tools) = (prompt, tools);

    /// <summary>The prompt's tokens, without the name of a required tool.</summary>
    public int[] Prompt { get; }

    /// <summary>Names of the declared tools.</summary>
    public IReadOnlySet<string> Tools { get; }
}

/// <summary>How a conversation is answered.</summary>
public abstract record ChatSettings
{
    /// <summary>How; what is unsaid is the model's.</summary>
    public GenerationOptions Options { get; init; } = new();

    /// <summary>Name of the served adapter that answers; null: the base, or the adapter that is attached to
    /// it.</summary>
    public string? Adapter { get; init; }

    /// <summary>Texts that end the answer and are no part of it.</summary>
    public IReadOnlyList<string> StopTexts { get; init; } = [];

    /// <summary>The tool that must be called; null leaves the choice to the model.</summary>
    public string? RequiredTool { get; init; }

    /// <summary>Whether each token comes with its log probability.</summary>
    public bool LogProbabilities { get; init; }

    /// <summary>How many of the likeliest tokens at each position are reported too.</summary>
    public int TopLogProbabilities { get; init; }

    /// <summary>What the answer may look like; null: anything.</summary>
    public AnswerGrammar? Grammar { get; init; }

    /// <summary>Whether a call in GLM-4's own style is given piece by piece, as its arguments come; one that the length
    /// cuts off is a call then, not text.</summary>
    public bool StreamCalls { get; init; }

    /// <summary>Forbids tokens, where there is no <see cref="Grammar"/>; null: none.</summary>
    public LogitsMask? Mask { get; init; }
}
