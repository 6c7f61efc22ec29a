namespace GlmTune.Studio.Jobs;

/// <summary>What a job's process has recorded about itself.</summary>
internal enum JobStage
{
    /// <summary>The process has been asked for, and has not recorded itself yet.</summary>
    Starting,

    /// <summary>It has recorded itself.</summary>
    Running,

    /// <summary>It has recorded its exit code.</summary>
    Ended,
}

/// <summary>The state of a job as it is shown.</summary>
internal enum JobState
{
    /// <summary>Its process is coming up.</summary>
    Starting,

    /// <summary>Its process runs.</summary>
    Running,

    /// <summary>Its process was asked to stop, and is saving.</summary>
    Stopping,

    /// <summary>It ended by itself, with exit code 0.</summary>
    Finished,

    /// <summary>It was stopped, and has saved.</summary>
    Stopped,

    /// <summary>It ended with an error.</summary>
    Failed,

    /// <summary>Its process is gone and has left no exit code: it was killed, or the machine went down.</summary>
    Died,
}
