namespace GlmTune.Data.Templates;

/// <summary>Which token stands at the end of a training sequence.</summary>
public enum EndToken
{
    /// <summary>The user's token: what the model sees after each of its answers.</summary>
    User,

    /// <summary>The end-of-text token, as the first revision of the GLM-4 demo had it.</summary>
    EndOfText,
}

/// <summary>Which answers are learnt.</summary>
public enum LearntAnswers
{
    /// <summary>Every answer of the conversation.</summary>
    All,

    /// <summary>The last answer, from its first token after the header's newline; the demo calls it <c>combine</c>.</summary>
    Last,
}

/// <summary>How conversations become ids.</summary>
public sealed record TemplateOptions
{
    /// <summary>The revision of the chat format.</summary>
    public TemplatePreset Preset { get; init; } = TemplatePreset.Default;

    /// <summary>The last token of a training sequence.</summary>
    public EndToken EndToken { get; init; } = EndToken.User;

    /// <summary>Which answers are learnt, and are evaluated.</summary>
    public LearntAnswers LearntAnswers { get; init; } = LearntAnswers.All;

    /// <summary>Tokens of an evaluation prompt, at most; a part of a training sequence's limit.</summary>
    public int MaxInputTokens { get; init; } = 512;

    /// <summary>Tokens of an evaluation reference, at most; a part of a training sequence's limit.</summary>
    public int MaxOutputTokens { get; init; } = 512;

    /// <summary>Tokens of a training sequence, at most: both limits and one.</summary>
    public int MaxTrainingTokens => MaxInputTokens + MaxOutputTokens + 1;
}
