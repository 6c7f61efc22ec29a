using GlmTune.Evaluation.Metrics;

namespace GlmTune.Evaluation;

/// <summary>What an evaluation found.</summary>
public sealed record EvaluationReport
{
    /// <summary>Rows whose loss was computed.</summary>
    public required int Rows { get; init; }

    /// <summary>Their loss.</summary>
    public required LossTotal Loss { get; init; }

    /// <summary>The generated answers, in the data's order; empty where none were generated.</summary>
    public IReadOnlyList<EvaluatedAnswer> Answers { get; init; } = [];

    /// <summary>How long it took.</summary>
    public required TimeSpan Elapsed { get; init; }

    /// <summary>The means of the answers' scores; null without answers.</summary>
    public GenerationScores? Scores =>
        Answers.Count == 0 ? null : GenerationScores.Mean([.. Answers.Select(answer => answer.Scores)]);

    /// <summary>Everything that is measured, under the names that Hugging Face's trainer logs.</summary>
    /// <remarks>
    /// <c>eval_loss</c>, <c>eval_perplexity</c>; with answers <c>eval_rouge-1</c>, <c>eval_rouge-2</c>,
    /// <c>eval_rouge-l</c> (0 to 100) and <c>eval_bleu-4</c> (0 to 1); <c>eval_runtime</c> in seconds,
    /// <c>eval_samples_per_second</c> of answers, or of rows without answers. </remarks>
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

    /// <summary>A few answers to look at, spread over the data; the same places each time, so that evaluations can be
    /// compared.</summary>
    /// <param name="count">How many, at most.</param>
    public IReadOnlyList<EvaluatedAnswer> Samples(int count = 3)
    {
        var shown = Math.Min(count, Answers.Count);
        return [.. Enumerable.Range(0, shown).Select(i => Answers[(int)((long)i * Answers.Count / shown)])];
    }
}
