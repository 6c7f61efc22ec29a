namespace GlmTune.Collectives;

/// <summary>The ranks cannot continue together: one has stopped, hangs, or made a different call.</summary>
/// <remarks>To be expected in long runs on many machines: the command line prints only the message and exits with code
/// 2.</remarks>
internal sealed class LostRankException : Exception
{
    /// <summary>Exit code of a process whose ranks have lost each other.</summary>
    public const int ExitCode = 2;

    /// <summary>An exception without a message.</summary>
    public LostRankException() { }

    /// <summary>An exception that says what was waited for, and the likely reason.</summary>
    public LostRankException(string message)
        : base(message) { }

    /// <summary>An exception caused by one of another rank.</summary>
    public LostRankException(string message, Exception innerException)
        : base(message, innerException) { }

    internal static string NotFinished(
        int rank,
        int worldSize,
        CollectiveCall call,
        TimeSpan timeout,
        string? known = null
    ) =>
        $"{Where(rank, worldSize, call)}: {call.Operation} not finished after {timeout.TotalSeconds:0.###} s. "
        + (known ?? "A rank has stopped or diverged; compare their logs.");

    internal static string Where(int rank, int worldSize, CollectiveCall? call) =>
        $"Rank {rank} of {worldSize}{(call is null || call.Label == default ? "" : $", {call.Label}")}";
}
