using System.Globalization;
using GlmTune.Hub.Downloading;

namespace GlmTune.Cli;

/// <summary>Describes a download: GB, rate, time left. On a terminal at most ten times a second, elsewhere a line for
/// every tenth.</summary>
/// <param name="line">Where it is shown.</param>
/// <param name="clock">Measures the rate.</param>
internal sealed class TransferLine(ProgressLine line, TimeProvider clock)
{
    private const int Parts = 10;
    private const int MeasuredSeconds = 10;
    private const long WorthLines = 100_000_000;
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(100);
    private readonly Lock gate = new();
    private readonly Queue<(long Time, long Received)> recent = new();
    private long shownAt = long.MinValue;
    private long shownPart;

    /// <summary>Shows the progress; from any thread.</summary>
    public void Show(PullProgress progress)
    {
        lock (gate)
        {
            var now = clock.GetTimestamp();
            var part = progress.Total == 0 ? 0 : progress.Done * Parts / progress.Total;
            if (
                line.Redraws
                    ? shownAt != long.MinValue
                        && clock.GetElapsedTime(shownAt, now) < Interval
                        && progress.Done < progress.Total
                    : part <= shownPart || progress.Total < WorthLines
            )
            {
                return;
            }

            (shownAt, shownPart) = (now, part);
            recent.Enqueue((now, progress.Received));
            while (recent.Count > 2 && clock.GetElapsedTime(recent.Peek().Time, now).TotalSeconds > MeasuredSeconds)
            {
                recent.Dequeue();
            }

            line.Show(Describe(progress, now));
        }
    }

    // The rate of the last seconds, since it changes.
    private string Describe(PullProgress progress, long now)
    {
        var (start, received) = recent.Peek();
        var seconds = clock.GetElapsedTime(start, now).TotalSeconds;
        var rate = seconds > 0 ? (progress.Received - received) / seconds : 0;
        var amounts = string.Create(
            CultureInfo.InvariantCulture,
            $"downloading {progress.Done / 1e9:F2} of {progress.Total / 1e9:F2} GB"
        );
        return rate <= 0
            ? amounts
            : string.Create(
                CultureInfo.InvariantCulture,
                $"{amounts}, {rate / 1e6:F1} MB/s, "
                    + $"{TimeSpan.FromSeconds((progress.Total - progress.Done) / rate):h\\:mm\\:ss} left"
            );
    }
}
