using System.Globalization;
using GlmTune.Training;

namespace GlmTune.Recipes.Reporting;

/// <summary>Reports a training run as plain lines.</summary>
/// <param name="line">Prints an event.</param>
/// <param name="remark">Prints a note.</param>
internal class RunLines(Action<string> line, Action<string> remark) : IFineTuneReporter
{
    private TimeSpan elapsed;
    private long tokens;
    private long steps;

    /// <summary>Description of the run; null before it is known.</summary>
    protected FineTuneStart? Start { get; private set; }

    /// <summary>The last step; null before the first.</summary>
    protected StepReport? Last { get; private set; }

    /// <summary>Tokens per second, and the estimated time left.</summary>
    protected string Pace =>
        steps == 0
            ? ""
            : string.Create(
                CultureInfo.InvariantCulture,
                $"{tokens / elapsed.TotalSeconds:F0} tokens/s "
                    + $"{elapsed / steps * (Start!.TotalSteps - Last!.Step):h\\:mm\\:ss} left"
            );

    public void Note(string text) => remark($"note: {text}");

    public virtual void Started(FineTuneStart start)
    {
        Start = start;
        if (start is { Computing: { } computing, Recipe: { } recipe })
        {
            line($"on {computing}; output folder {recipe.Training.OutputFolder}");
        }

        var rows = start.MicroBatchSize * start.AccumulationSteps * start.WorldSize;
        var ranks = start.WorldSize > 1 ? $" × {start.WorldSize} ranks" : "";
        line(
            string.Create(
                CultureInfo.InvariantCulture,
                $"{start.Examples} rows; {start.TotalSteps} steps of {rows} ({start.MicroBatchSize} × "
                    + $"{start.AccumulationSteps} "
                    + $"accumulated{ranks}){(start.DoneSteps > 0 ? $", resuming from step {start.DoneSteps}" : "")}; "
                    + $"trainable parameters: {start.TrainedParameters:N0} of {start.AllParameters:N0}; on "
                    + $"{start.Device}, {start.Type.ToLowerInvariant()}"
            )
        );
    }

    public virtual void Stepped(StepReport report)
    {
        // The first step of a run includes warm-up and would distort the estimate.
        if (Last is not null)
        {
            (elapsed, tokens, steps) = (elapsed + report.Elapsed, tokens + report.Tokens, steps + 1);
        }

        Last = report;
    }

    public void Logged(long atStep, IReadOnlyDictionary<string, double> values) => Values(atStep, values, Pace);

    public void Evaluated(long atStep, IReadOnlyDictionary<string, double> values) => Values(atStep, values, "");

    public void Tested(IReadOnlyDictionary<string, double> values) =>
        line(Fit([("file", "test file"), .. Scores(values)]));

    public void Saved(string folder) => line($"saved {folder}");

    /// <summary>The line of a log entry.</summary>
    /// <param name="parts">What it says, in order, with the names of the values.</param>
    protected virtual string Fit(IReadOnlyList<(string Name, string Text)> parts) =>
        string.Join("  ", parts.Select(part => part.Text));

    private void Values(long atStep, IReadOnlyDictionary<string, double> values, string pace)
    {
        List<(string Name, string Text)> parts = [("step", $"step {atStep}/{Start!.TotalSteps}"), .. Scores(values)];
        if (!values.ContainsKey("epoch") && Last is not null)
        {
            parts.Add(("epoch", string.Create(CultureInfo.InvariantCulture, $"epoch {Last.Epoch:F2}")));
        }

        if (pace.Length > 0)
        {
            parts.Add(("pace", pace));
        }

        line(Fit(parts));
    }

    private static IEnumerable<(string Name, string Text)> Scores(IReadOnlyDictionary<string, double> values)
    {
        foreach (var (name, value) in values.Where(value => PartOfMemory(value.Key) is null))
        {
            yield return (name, $"{name} {Number(name, value)}");
        }

        var memory = values
            .Where(value => PartOfMemory(value.Key) is not null)
            .Select(value => $"{PartOfMemory(value.Key)} {value.Value.ToString("0.##", CultureInfo.InvariantCulture)}");
        if (string.Join(", ", memory) is { Length: > 0 } text)
        {
            yield return ("memory", $"({text})");
        }
    }

    // memory_weights_gib: weights.
    private static string? PartOfMemory(string name) =>
        name.StartsWith("memory_", StringComparison.Ordinal)
        && name.EndsWith("_gib", StringComparison.Ordinal)
        && name.Length > "memory_gib".Length
            ? name["memory_".Length..^"_gib".Length]
            : null;

    private static string Number(string name, double value) =>
        value.ToString(name == "learning_rate" ? "0.000e+00" : "F4", CultureInfo.InvariantCulture);
}
