using GlmTune.Files;

namespace GlmTune.Studio.Jobs;

/// <summary>The contents of <c>job.json</c>: a command of this program that runs as a process of its own.</summary>
internal sealed record JobRecord
{
    // What the program's commands mean by their exit codes.
    private const int Done = 0;
    private const int StoppedCode = 130;

    /// <summary>Name of the job, which is also that of its folder.</summary>
    public required string Name { get; init; }

    /// <summary>The command: arguments of the program.</summary>
    public required IReadOnlyList<string> Arguments { get; init; }

    /// <summary>The folder in which it runs.</summary>
    public required string WorkingFolder { get; init; }

    /// <summary>When it was first started.</summary>
    public required DateTimeOffset Created { get; init; }

    /// <summary>What its process has recorded.</summary>
    public JobStage Stage { get; init; }

    /// <summary>The process that started it; decides whether a job that has not recorded itself may still
    /// come.</summary>
    public required LockOwner Launcher { get; init; }

    /// <summary>Its own process; null until that has recorded itself.</summary>
    public LockOwner? Process { get; init; }

    /// <summary>Exit code; null until it has ended.</summary>
    public int? ExitCode { get; init; }

    /// <summary>When it ended; null until then.</summary>
    public DateTimeOffset? Ended { get; init; }

    /// <summary>The state that follows from the record and from the processes that are there.</summary>
    /// <param name="self">The process that asks.</param>
    /// <param name="startOf">When the process with a number started; null if there is none.</param>
    public JobState StateFor(LockOwner self, Func<int, string?> startOf) =>
        Stage switch
        {
            JobStage.Ended => ExitCode switch
            {
                Done => JobState.Finished,
                StoppedCode => JobState.Stopped,
                _ => JobState.Failed,
            },
            JobStage.Running => IsThere(Process, self, startOf) ? JobState.Running : JobState.Died,
            _ => IsThere(Launcher, self, startOf) ? JobState.Starting : JobState.Died,
        };

    // On another machine, or in another container, only the record can tell.
    private static bool IsThere(LockOwner? process, LockOwner self, Func<int, string?> startOf)
    {
        if (process is null)
        {
            return false;
        }

        if (process.Host != self.Host)
        {
            return true;
        }

        return process.Boot == self.Boot
            && (process.PidNamespace != self.PidNamespace || startOf(process.Pid) == process.Started);
    }
}
