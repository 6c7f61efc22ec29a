namespace GlmTune.Collectives;

/// <summary>One rank's work from its first call to its last, so that no rank is waited for that has failed.</summary>
public static class RankRun
{
    /// <summary>Runs <paramref name="body"/>, then takes leave of the other ranks; where it fails, ends the run on all
    /// ranks.</summary>
    /// <param name="ranks">This rank's collectives; disposed by this method, and by it only.</param>
    /// <param name="body">What this rank does; gives the process's exit code.</param>
    /// <param name="report">Tells the user of a failure, and gives the exit code for it; called before the other ranks
    /// are ended.</param>
    /// <remarks>A <see cref="SharedFailureException"/>, which all ranks throw, is reported by rank 0 alone, and all
    /// take leave of each other.</remarks>
    /// <returns>The exit code for the process; process ranks that failed do not return.</returns>
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
