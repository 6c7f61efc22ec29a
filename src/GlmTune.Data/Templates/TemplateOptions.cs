using GlmTune.Data.Conversations;

namespace GlmTune.Data.Templates;

/// <summary>Which answers are supervised.</summary>
public enum SupervisedAnswers
{
    /// <summary>Every answer of the conversation.</summary>
    All,

    /// <summary>The last answer, from the token after its header's first on; the demo calls it
    /// <c>combine</c>.</summary>
    Last,
}

/// <summary>How conversations become ids.</summary>
public sealed record TemplateOptions
{
    /// <summary>The revision of the chat format.</summary>
    public TemplatePreset Preset { get; init; } = TemplatePreset.Default;

    /// <summary>The special token at the end of a training sequence: <c>&lt;|user|&gt;</c>, which the model saw after
    /// each of its answers, or <c>&lt;|endoftext|&gt;</c>, as the first revision of the demo had it.</summary>
    public string EndToken { get; init; } = "<|user|>";

    /// <summary>Which answers are supervised and evaluated.</summary>
    public SupervisedAnswers SupervisedAnswers { get; init; } = SupervisedAnswers.All;

    /// <summary>How calls of tools are written, whatever style the rows have.</summary>
    public ToolCallStyle ToolCalls { get; init; } = ToolCallStyle.AsWritten;

    /// <summary>Tokens of an evaluation prompt, at most; a part of a training sequence's limit.</summary>
    public int MaxInputTokens { get; init; } = 512;

    /// <summary>Tokens of an evaluation reference, at most; a part of a training sequence's limit.</summary>
    public int MaxOutputTokens { get; init; } = 512;

    /// <summary>Tokens of a training sequence, at most: both limits and one.</summary>
    public int MaxTrainingTokens => MaxInputTokens + MaxOutputTokens + 1;
}
