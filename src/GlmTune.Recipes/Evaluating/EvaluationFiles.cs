using System.Text.Json.Nodes;
using GlmTune.Evaluation;
using GlmTune.Files;

namespace GlmTune.Recipes.Evaluating;

/// <summary>Where the results of an evaluation are stored: predictions and metrics.</summary>
/// <param name="Predictions">Path of a JSON Lines file that <c>glmtune metrics</c> reads; not written if nothing was
/// generated.</param>
/// <param name="Metrics">Path of a JSON file with <see cref="EvaluationReport.Metrics"/>; non-finite values are written
/// as null.</param>
internal sealed record EvaluationFiles(string Predictions, string Metrics)
{
    /// <summary>The files of a split's evaluation: <c>predictions_test.jsonl</c> and
    /// <c>metrics_test.json</c>.</summary>
    public static EvaluationFiles OfSplit(string folder, string split) =>
        new(Path.Combine(folder, $"predictions_{split}.jsonl"), Path.Combine(folder, $"metrics_{split}.json"));

    /// <summary>The files of an evaluation during training: <c>eval/step-N.predictions.jsonl</c> and
    /// <c>eval/step-N.metrics.json</c>.</summary>
    public static EvaluationFiles OfStep(string folder, long step) =>
        new(
            Path.Combine(folder, "eval", $"step-{step}.predictions.jsonl"),
            Path.Combine(folder, "eval", $"step-{step}.metrics.json")
        );

    /// <summary>Finds what prevents writing the files, one sentence each.</summary>
    public IReadOnlyList<string> FindProblems() =>
        [
            .. new[] { Predictions, Metrics }
                .Select(file => WriteProbe.FindProblemOfFile(file))
                .OfType<string>()
                .Distinct(),
        ];

    /// <summary>Writes the files; creates their folder if needed.</summary>
    /// <param name="report">The results.</param>
    /// <param name="more">Further entries for the metrics file; null: none.</param>
    public void Write(EvaluationReport report, JsonObject? more = null)
    {
        Disk.CreateFolder(Path.GetDirectoryName(Path.GetFullPath(Metrics))!);
        if (report.Answers.Count > 0)
        {
            PredictionFile.Write(Predictions, report.Answers.Select(answer => answer.ToRow()));
        }

        var metrics = new JsonObject(
            report.Metrics.Select(metric =>
                KeyValuePair.Create(metric.Key, (JsonNode?)(double.IsFinite(metric.Value) ? metric.Value : null))
            )
        );
        foreach (var (key, value) in more ?? [])
        {
            metrics[key] = value?.DeepClone();
        }

        AtomicFile.WriteJson(Metrics, metrics);
    }
}
