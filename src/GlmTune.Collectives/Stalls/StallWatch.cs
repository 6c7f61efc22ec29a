using System.Globalization;
using System.Text;
using GlmTune.Files;

namespace GlmTune.Collectives;

/// <summary>Finds a run that hangs in silence: if nothing moves for a set time, it reports what each rank waits for and
/// where its threads are, and ends the run.</summary>
/// <remarks>Signs of progress are collectives, steps, evaluated rows, and operations on files, so that saving a large
/// checkpoint slowly does not count as a hang. Each process watches itself; the one that finds the stall first leaves
/// the others time to report theirs before it ends them.</remarks>
internal sealed class StallWatch : IDisposable
{
    private static readonly TimeSpan LongestPeriod = TimeSpan.FromSeconds(10);

    private readonly TimeSpan timeout;
    private readonly TimeSpan period;
    private readonly TimeProvider clock;
    private readonly IReadOnlyList<RankActivity> ranks;
    private readonly Func<string> threads;
    private readonly Func<long> others;
    private readonly Action<string> report;
    private readonly Action<Exception> end;
    private readonly Lock gate = new();
    private readonly ITimer timer;
    private long signs = -1;
    private long since;
    private string? found;
    private bool ended;

    /// <summary>Starts watching.</summary>
    /// <param name="timeout">The longest time without progress.</param>
    /// <param name="ranks">The ranks of this process.</param>
    /// <param name="report">Receives the report, of several lines.</param>
    /// <param name="end">Ends the run on all ranks; called a little later.</param>
    /// <param name="clock">The clock; null: the system's.</param>
    /// <param name="threads">Describes the threads; null: <see cref="ThreadStates.Describe"/>.</param>
    /// <param name="others">Counts other signs of progress; null: <see cref="Disk.Operations"/>.</param>
    public StallWatch(
        TimeSpan timeout,
        IReadOnlyList<RankActivity> ranks,
        Action<string> report,
        Action<Exception> end,
        TimeProvider? clock = null,
        Func<string>? threads = null,
        Func<long>? others = null
    )
    {
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(timeout, TimeSpan.Zero);
        (this.timeout, this.ranks, this.report, this.end) = (timeout, ranks, report, end);
        this.clock = clock ?? TimeProvider.System;
        this.threads = threads ?? ThreadStates.Describe;
        this.others = others ?? (() => Disk.Operations);
        period = timeout / 4 < LongestPeriod ? timeout / 4 : LongestPeriod;
        since = this.clock.GetTimestamp();
        timer = this.clock.CreateTimer(_ => Look(), null, period, period);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (gate)
        {
            ended = true;
        }

        timer.Dispose();
    }

    private void Look()
    {
        lock (gate)
        {
            if (ended)
            {
                return;
            }

            if (found is not null)
            {
                // The other processes have had time for their reports.
                ended = true;
                end(new LostRankException(found));
                return;
            }

            var now = ranks.Sum(rank => rank.Signs) + others();
            if (now != signs || !ranks.Any(rank => rank.IsTraining))
            {
                (signs, since) = (now, clock.GetTimestamp());
            }
            else if (clock.GetElapsedTime(since) >= timeout)
            {
                found = string.Create(
                    CultureInfo.InvariantCulture,
                    $"No progress for {timeout.TotalSeconds:0.###} s (--stall-timeout); the run ends."
                );
                var text = new StringBuilder(found).AppendLine();
                foreach (var rank in ranks)
                {
                    text.AppendLine(rank.Describe());
                }

                report(text.Append(threads()).ToString().TrimEnd());
            }
        }
    }
}
