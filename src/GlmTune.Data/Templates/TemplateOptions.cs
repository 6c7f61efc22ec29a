using GlmTune.Data.Conversations;

namespace GlmTune.Data.Templates;

/// <summary>Which answers are supervised.</summary>
public enum SupervisedAnswers
{
    /// <summary>Every answer of the conversation.</summary>
    All,

    /// <summary>The last answer, without the first token after its role token; the demo calls this
    /// <c>combine</c>.</summary>
    Last,
}

/// <summary>How conversations are turned into token ids.</summary>
public sealed record TemplateOptions
{
    /// <summary>The revision of the chat template. <see cref="Glm4Template"/> replaces
    /// <see cref="TemplatePreset.Automatic"/> with what it has chosen for the model.</summary>
    public TemplatePreset Preset { get; init; } = TemplatePreset.Automatic;

    /// <summary>The special token at the end of a training sequence: <c>&lt;|user|&gt;</c>, which followed each answer
    /// in the model's own training, or <c>&lt;|endoftext|&gt;</c>, as in the first revision of the demo.</summary>
    public string EndToken { get; init; } = "<|user|>";

    /// <summary>Which answers are supervised and evaluated.</summary>
    public SupervisedAnswers SupervisedAnswers { get; init; } = SupervisedAnswers.All;

    /// <summary>Whether the thoughts before supervised answers are supervised too; otherwise they are only read.
    /// Without effect unless the prompt for an answer opens them.</summary>
    public bool SupervisesThoughts { get; init; } = true;

    /// <summary>How tool calls are written, whatever style the rows use.</summary>
    public ToolCallStyle ToolCalls { get; init; } = ToolCallStyle.AsWritten;

    /// <summary>Maximum tokens of an evaluation prompt; also part of the limit for training sequences.</summary>
    public int MaxInputTokens { get; init; } = 512;

    /// <summary>Maximum tokens of an evaluation reference; also part of the limit for training sequences.</summary>
    public int MaxOutputTokens { get; init; } = 512;

    /// <summary>Maximum tokens of a training sequence: the sum of both limits plus one.</summary>
    public int MaxTrainingTokens => MaxInputTokens + MaxOutputTokens + 1;
}
