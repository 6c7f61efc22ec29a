using GlmTune.Data.Conversations;
using GlmTune.Data.Tokenization;

namespace GlmTune.Data.Templates;

/// <summary>GLM-4's chat format: conversations to token ids, with what is learnt of them.</summary>
/// <remarks>Immutable and thread-safe.</remarks>
public sealed class Glm4Template(Tokenizer tokenizer, TemplateOptions? options = null)
{
    /// <summary>The options in use.</summary>
    public TemplateOptions Options { get; } = options ?? new TemplateOptions();

    /// <summary>The tokenizer in use.</summary>
    public Tokenizer Tokenizer => tokenizer;

    /// <summary>A training sequence: the whole conversation and the end token, cut to <see cref="TemplateOptions.MaxTrainingTokens"/>.</summary>
    public TokenizedExample RenderTraining(Conversation conversation) => throw new NotImplementedException();

    /// <summary>A row for each answer that is learnt and whose prompt is shorter than <see cref="TemplateOptions.MaxInputTokens"/>.</summary>
    public IReadOnlyList<EvaluationExample> RenderEvaluation(Conversation conversation) => throw new NotImplementedException();

    /// <summary>The ids that the model continues: the conversation, then the assistant's token alone.</summary>
    /// <param name="conversation">The conversation so far.</param>
    /// <param name="addGenerationPrompt">Whether the assistant's token is added at the end.</param>
    public int[] RenderPrompt(Conversation conversation, bool addGenerationPrompt = true) => throw new NotImplementedException();
}
