namespace GlmTune.Collectives;

/// <summary>Runs one rank's work from the first call to the last, so that no rank waits for one that has
/// failed.</summary>
internal static class RankRun
{
    /// <summary>Runs <paramref name="body"/>, then signs off from the other ranks; if it fails, ends the run on all
    /// ranks.</summary>
    /// <param name="ranks">This rank's collectives; disposed by this method only.</param>
    /// <param name="body">The work of this rank; returns the process's exit code.</param>
    /// <param name="report">Reports a failure to the user and returns its exit code; called before the other ranks are
    /// ended.</param>
    /// <remarks>A <see cref="SharedFailureException"/>, which all ranks throw, is reported by rank 0 only, and all
    /// ranks sign off normally.</remarks>
    /// <returns>The exit code of the process; does not return for process ranks that failed.</returns>
    public static int Run(ICollectives ranks, Func<ICollectives, int> body, Func<Exception, int> report)
    {
        try
        {
            var code = body(ranks);
            ranks.Dispose();
            return code;
        }
        catch (SharedFailureException error)
        {
            var code = ranks.Rank == 0 ? report(error) : SharedFailureException.ExitCode;
            ranks.Dispose();
            return code;
        }
        catch (Exception error)
        {
            var code = report(error);
            ranks.Abort(error, code);
            return code;
        }
    }
}
