namespace GlmTune.Inference;

/// <summary>What a model may do with tools, and who is asked.</summary>
public sealed record ToolLoopOptions
{
    /// <summary>Calls in one turn of the conversation, at most; the model then has to answer without tools. Default
    /// 10.</summary>
    public int MaxCalls { get; init; } = 10;

    /// <summary>How long a call may take. Default one minute.</summary>
    public TimeSpan CallTimeout { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary>Names of functions whose calls may take any time, because a person answers them. Default
    /// none.</summary>
    public IReadOnlyCollection<string> Untimed { get; init; } = [];

    /// <summary>Characters of a result that the model gets to see, at most. Default 16,384.</summary>
    public int MaxResultCharacters { get; init; } = 1 << 14;

    /// <summary>Names of functions that run without a question. Default none.</summary>
    public IReadOnlyCollection<string> Allowed { get; init; } = [];

    /// <summary>Asks whether a call may be made that was not allowed beforehand; null: none may.</summary>
    public Func<ToolUse, CancellationToken, Task<bool>>? Confirm { get; init; }

    /// <summary>Gets each call that is about to be made.</summary>
    public Action<ToolUse>? OnCall { get; init; }

    /// <summary>Gets each call that is over or was refused, and the observation that the model sees of it.</summary>
    public Action<ToolUse, string>? OnResult { get; init; }
}
