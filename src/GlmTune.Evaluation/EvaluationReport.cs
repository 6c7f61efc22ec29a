using GlmTune.Evaluation.Metrics;

namespace GlmTune.Evaluation;

/// <summary>The results of an evaluation.</summary>
public sealed record EvaluationReport
{
    /// <summary>Number of rows whose loss was computed.</summary>
    public required int Rows { get; init; }

    /// <summary>The loss of these rows.</summary>
    public required LossTotal Loss { get; init; }

    /// <summary>The generated answers in the order of the data; empty if none were generated.</summary>
    public IReadOnlyList<EvaluatedAnswer> Answers { get; init; } = [];

    /// <summary>Duration of the evaluation.</summary>
    public required TimeSpan Elapsed { get; init; }

    /// <summary>Mean scores of the answers; null without answers.</summary>
    public GenerationScores? Scores =>
        Answers.Count == 0 ? null : GenerationScores.Mean([.. Answers.Select(answer => answer.Scores)]);

    /// <summary>All metrics, under the names that Hugging Face's trainer logs.</summary>
    /// <remarks><c>eval_loss</c>, <c>eval_perplexity</c>; with answers <c>eval_rouge-1</c>, <c>eval_rouge-2</c>,
    /// <c>eval_rouge-l</c> (0 to 100) and <c>eval_bleu-4</c> (0 to 1); <c>eval_runtime</c> in seconds, and
    /// <c>eval_samples_per_second</c>, which counts answers, or rows if there are none.</remarks>
    public IReadOnlyDictionary<string, double> Metrics
    {
        get
        {
            var metrics = new Dictionary<string, double>
            {
                ["eval_loss"] = Loss.Mean,
                ["eval_perplexity"] = Loss.Perplexity,
            };
            foreach (var (name, score) in Scores?.ByName ?? [])
            {
                metrics.Add($"eval_{name}", score);
            }

            metrics.Add("eval_runtime", Elapsed.TotalSeconds);
            metrics.Add(
                "eval_samples_per_second",
                (Answers.Count > 0 ? Answers.Count : Rows) / Math.Max(Elapsed.TotalSeconds, 1e-9)
            );
            return metrics;
        }
    }

    /// <summary>A few answers to look at, spread evenly over the data. The positions are the same each time, so
    /// evaluations can be compared.</summary>
    /// <param name="count">Maximum number of answers.</param>
    public IReadOnlyList<EvaluatedAnswer> Samples(int count = 3)
    {
        var shown = Math.Min(count, Answers.Count);
        return [.. Enumerable.Range(0, shown).Select(i => Answers[(int)((long)i * Answers.Count / shown)])];
    }
}
