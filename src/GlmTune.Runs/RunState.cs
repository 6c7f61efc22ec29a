namespace GlmTune.Runs;

/// <summary>How a run stands.</summary>
public enum RunState
{
    /// <summary>It trains, or evaluates.</summary>
    Running,

    /// <summary>Its last step is done.</summary>
    Finished,

    /// <summary>It was asked to stop.</summary>
    Stopped,

    /// <summary>It ended by an error.</summary>
    Failed,

    /// <summary>It ended without a word: killed, or the machine went down.</summary>
    Lost,
}

/// <summary>The words for <see cref="RunState"/> in files.</summary>
public static class RunStateWords
{
    /// <summary>The state in lower case.</summary>
    public static string Word(this RunState state) =>
        state switch
        {
            RunState.Running => "running",
            RunState.Finished => "finished",
            RunState.Stopped => "stopped",
            RunState.Failed => "failed",
            _ => "lost",
        };

    /// <summary>The state of a word; <see cref="RunState.Lost"/> for any other.</summary>
    public static RunState Parse(string? word) =>
        word switch
        {
            "running" => RunState.Running,
            "finished" => RunState.Finished,
            "stopped" => RunState.Stopped,
            "failed" => RunState.Failed,
            _ => RunState.Lost,
        };
}
