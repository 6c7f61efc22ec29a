using System.Diagnostics;
using GlmTune.Collectives;
using GlmTune.Recipes.Training;

namespace GlmTune.Recipes.Evaluating;

/// <summary>Lets ranks that run different numbers of passes stop together: after a certain number of passes they all
/// exchange whether to continue.</summary>
/// <remarks>The number of passes between exchanges is derived from the time that the slowest rank took for the last
/// ones, so that an exchange happens about once per second. It is the same on each rank, because it is computed from
/// exchanged values. The first exchange comes before the first pass.</remarks>
/// <param name="ranks">The ranks.</param>
/// <param name="stop">Checked on each rank at each exchange.</param>
internal sealed class StopAgreement(RunRanks ranks, CancellationToken stop)
{
    private const double SecondsBetween = 1;
    private long since = Stopwatch.GetTimestamp();
    private int every = 1;
    private int left;
    private bool over;
    private bool ended;

    /// <summary>Call before each pass.</summary>
    /// <exception cref="OperationCanceledException">A rank was asked to stop or has failed; thrown on all ranks that
    /// are still working.</exception>
    public void BeforePass()
    {
        if (left-- > 0)
        {
            return;
        }

        if (!AllContinue(done: false, failed: false))
        {
            throw new OperationCanceledException(stop);
        }

        left = every - 1;
    }

    /// <summary>Call after the last pass of a rank: waits for the others.</summary>
    /// <param name="failed">Whether this rank has failed, so that the others need not continue.</param>
    /// <returns>Whether a rank was asked to stop, or failed, before all were done.</returns>
    public bool Finish(bool failed)
    {
        while (!over)
        {
            AllContinue(done: true, failed);
        }

        return ended;
    }

    private bool AllContinue(bool done, bool failed)
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
