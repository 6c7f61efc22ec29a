using System.Globalization;
using System.Text.Json;

namespace GlmTune.Runs;

/// <summary>The history of a run, accumulated from the lines of its log: curves by name, and the run's state.</summary>
/// <remarks>When a run resumes from an earlier step, values after that step are dropped. Not thread-safe.</remarks>
/// <param name="maxPoints">Number of points kept per curve; of a longer one, the older half is dropped. At least
/// 2.</param>
internal sealed class RunHistory(int maxPoints = int.MaxValue)
{
    // No run has this many metrics; a hostile log could name millions.
    private const int MaxCurves = 1000;

    private static readonly string[] NotMeasured = ["step", "event", "time", "epoch"];
    private readonly Dictionary<string, List<RunPoint>> curves = [];

    /// <summary>Points by metric name, sorted by step. Names of evaluation metrics start with <c>eval_</c>, those of
    /// the test file with <c>test_</c>.</summary>
    public IReadOnlyDictionary<string, List<RunPoint>> Curves => curves;

    /// <summary>The last finished step.</summary>
    public long Step { get; private set; }

    /// <summary>Steps of the whole run; 0 if unknown.</summary>
    public long TotalSteps { get; private set; }

    /// <summary>How the run ended; null if the log does not say.</summary>
    public RunState? End { get; private set; }

    /// <summary>The error that ended it.</summary>
    public string? Error { get; private set; }

    /// <summary>When the last line was written.</summary>
    public DateTimeOffset? LastTime { get; private set; }

    /// <summary>The machine that the run is on.</summary>
    public string? Host { get; private set; }

    /// <summary>The id of its process.</summary>
    public int? Process { get; private set; }

    /// <summary>The last value of a curve; null if it has none.</summary>
    public double? Last(string name) =>
        curves.TryGetValue(name, out var points) && points.Count > 0 ? points[^1].Value : null;

    /// <summary>Adds a line of the log.</summary>
    public void Add(JsonElement line)
    {
        if (line.ValueKind != JsonValueKind.Object || Text(line, "event") is not { } kind)
        {
            return;
        }

        var step = Whole(line, "step");
        LastTime = DateTimeOffset.TryParse(
            Text(line, "time"),
            CultureInfo.InvariantCulture,
            DateTimeStyles.AssumeUniversal,
            out var time
        )
            ? time
            : LastTime;
        switch (kind)
        {
            case "start":
                GoBackTo(step ?? 0);
                (TotalSteps, End, Error) = (Whole(line, "total_steps") ?? 0, null, null);
                (Host, Process) = (Text(line, "host"), (int?)Whole(line, "process"));
                break;
            case "step" when step is { } number:
                Step = number;
                AddPoints(line, number, "");
                break;
            case "evaluation" when step is { } number:
                AddPoints(line, number, "");
                break;
            case "test" when step is { } number:
                AddPoints(line, number, "test_");
                break;
            case "end":
                (End, Error) = (RunStateWords.Parse(Text(line, "state")), Text(line, "error"));
                break;
        }
    }

    private void GoBackTo(long step)
    {
        foreach (var points in curves.Values)
        {
            var count = points.Count;
            while (count > 0 && points[count - 1].Step > step)
            {
                count--;
            }

            points.RemoveRange(count, points.Count - count);
        }

        Step = step;
    }

    private void AddPoints(JsonElement line, long step, string prefix)
    {
        foreach (
            var property in line.EnumerateObject()
                .Where(property =>
                    property.Value.ValueKind == JsonValueKind.Number && !NotMeasured.Contains(property.Name)
                )
        )
        {
            // A number beyond the range of double, such as 1e999, is skipped like null.
            if (!property.Value.TryGetDouble(out var number) || !double.IsFinite(number))
            {
                continue;
            }

            var name =
                prefix
                + (
                    prefix.Length > 0 && property.Name.StartsWith("eval_", StringComparison.Ordinal)
                        ? property.Name["eval_".Length..]
                        : property.Name
                );
            if (!curves.TryGetValue(name, out var points))
            {
                if (curves.Count == MaxCurves)
                {
                    continue;
                }

                curves.Add(name, points = []);
            }

            if (points.Count >= maxPoints)
            {
                points.RemoveRange(0, points.Count / 2);
            }

            points.Add(new RunPoint(step, number));
        }
    }

    private static string? Text(JsonElement line, string name) =>
        line.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;

    private static long? Whole(JsonElement line, string name) =>
        line.TryGetProperty(name, out var value)
        && value.ValueKind == JsonValueKind.Number
        && value.TryGetInt64(out var number)
            ? number
            : null;
}

/// <summary>A point of a curve.</summary>
/// <param name="Step">Steps done.</param>
/// <param name="Value">The measured value.</param>
internal readonly record struct RunPoint(long Step, double Value);
