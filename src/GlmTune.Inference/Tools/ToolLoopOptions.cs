namespace GlmTune.Inference;

/// <summary>What a model may do with tools, and how permission is requested.</summary>
public sealed record ToolLoopOptions
{
    /// <summary>Maximum calls per turn of the conversation; after that, the model must answer without tools. Default:
    /// 10.</summary>
    public int MaxCalls { get; init; } = 10;

    /// <summary>Time limit of a call. Default: one minute.</summary>
    public TimeSpan CallTimeout { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary>Names of functions without a time limit, because a person provides their results. Default:
    /// none.</summary>
    public IReadOnlyCollection<string> Untimed { get; init; } = [];

    /// <summary>Maximum characters of a result shown to the model. Default: 16,384.</summary>
    public int MaxResultCharacters { get; init; } = 1 << 14;

    /// <summary>Names of functions that run without confirmation. Default: none.</summary>
    public IReadOnlyCollection<string> Allowed { get; init; } = [];

    /// <summary>Called to confirm a call that is not allowed in advance; null: such calls are refused.</summary>
    public Func<ToolUse, CancellationToken, Task<bool>>? Confirm { get; init; }

    /// <summary>Called before each call.</summary>
    public Action<ToolUse>? OnCall { get; init; }

    /// <summary>Called after each call, run or refused, with the observation that the model sees.</summary>
    public Action<ToolUse, string>? OnResult { get; init; }
}
