namespace GlmTune.Runs;

/// <summary>The state of a run.</summary>
internal enum RunState
{
    /// <summary>Training or evaluating.</summary>
    Running,

    /// <summary>All steps are done.</summary>
    Finished,

    /// <summary>Stopped on request.</summary>
    Stopped,

    /// <summary>Ended by an error.</summary>
    Failed,

    /// <summary>Ended without a record: killed, or the machine went down.</summary>
    Lost,
}

/// <summary>The names of <see cref="RunState"/> in files.</summary>
internal static class RunStateWords
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
