using System.Diagnostics;
using GlmTune.Collectives;
using GlmTune.Recipes.Training;

namespace GlmTune.Recipes.Evaluating;

/// <summary>Lets ranks that work apart, each on its own number of passes, end together: every so many passes all tell
/// each other whether to go on.</summary>
/// <remarks>
/// How many passes lie between two calls follows from how long the slowest rank took for the last ones, so that a call
/// comes about once a second however long a pass takes; it is the same number on each rank, as it is made of what all
/// of them told. The first call comes before the first pass. </remarks>
/// <param name="ranks">The ranks.</param>
/// <param name="stop">Asked on each rank at each call.</param>
internal sealed class StopAgreement(RunRanks ranks, CancellationToken stop)
{
    private const double SecondsBetween = 1;
    private long since = Stopwatch.GetTimestamp();
    private int every = 1;
    private int left;
    private bool over;
    private bool ended;

    /// <summary>Before each pass.</summary>
    /// <exception cref="OperationCanceledException">A rank was asked to stop, or cannot go on; thrown on all that still
    /// work.</exception>
    public void BeforePass()
    {
        if (left-- > 0)
        {
            return;
        }

        if (!AllGoOn(done: false, failed: false))
        {
            throw new OperationCanceledException(stop);
        }

        left = every - 1;
    }

    /// <summary>After a rank's last pass: waits for the others.</summary>
    /// <param name="failed">Whether this rank cannot go on, so that the others need not either.</param>
    /// <returns>Whether a rank was asked to stop, or cannot go on, before all were done.</returns>
    public bool Finish(bool failed)
    {
        while (!over)
        {
            AllGoOn(done: true, failed);
        }

        return ended;
    }

    private bool AllGoOn(bool done, bool failed)
    {
        var took = Stopwatch.GetElapsedTime(since).TotalSeconds;
        var all = ranks.Collectives.GatherDoubles(
            [done ? 1 : 0, failed || stop.IsCancellationRequested ? 1 : 0, done ? 0 : took],
            new CallLabel(ranks.Step, "evaluation")
        );
        var allDone = all.All(of => of[0] > 0);
        ended = !allDone && all.Any(of => of[1] > 0);
        over = ended || allDone;
        var slowest = all.Max(of => of[2]);
        every = (int)Math.Clamp(every * SecondsBetween / Math.Max(slowest, 1e-6), 1, every * 2.0);
        since = Stopwatch.GetTimestamp();
        return !over;
    }
}
