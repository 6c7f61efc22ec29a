using GlmTune.Evaluation.Metrics.Jieba;

namespace GlmTune.Evaluation.Metrics;

/// <summary>The four scores of a generated text against its reference, as the GLM-4 fine-tuning demo reports
/// them.</summary>
/// <param name="Rouge1">ROUGE-1 F, 0 to 100; for a single pair rounded to 4 decimal places.</param>
/// <param name="Rouge2">ROUGE-2 F, likewise.</param>
/// <param name="RougeL">ROUGE-L F, likewise.</param>
/// <param name="Bleu4">BLEU-4, 0 to 1, not rounded.</param>
/// <remarks><see cref="JiebaSegmenter"/> segments the texts as they are. Trim decoded text before scoring, as the demo
/// does.</remarks>
public sealed record GenerationScores(double Rouge1, double Rouge2, double RougeL, double Bleu4)
{
    /// <summary>The names under which the scores are reported, in order.</summary>
    public static readonly IReadOnlyList<string> Names = ["rouge-1", "rouge-2", "rouge-l", "bleu-4"];

    /// <summary>The scores, in the order of <see cref="Names"/>.</summary>
    public IEnumerable<KeyValuePair<string, double>> ByName =>
        Names.Zip([Rouge1, Rouge2, RougeL, Bleu4], KeyValuePair.Create);

    /// <summary>Scores one pair; an empty prediction or reference scores 0.</summary>
    public static GenerationScores Of(string prediction, string label)
    {
        var predicted = JiebaSegmenter.Cut(prediction);
        var expected = JiebaSegmenter.Cut(label);
        var (rouge1, rouge2, rougeL) = Rouge.Score(predicted, expected);
        return new GenerationScores(
            PythonText.Round4(rouge1.F * 100),
            PythonText.Round4(rouge2.F * 100),
            PythonText.Round4(rougeL.F * 100),
            Bleu.Score(predicted, expected)
        );
    }

    /// <summary>Scores pairs in parallel; results are in the order of the pairs.</summary>
    public static GenerationScores[] OfEach(IReadOnlyList<(string Prediction, string Label)> pairs)
    {
        var scores = new GenerationScores[pairs.Count];
        Parallel.For(0, scores.Length, i => scores[i] = Of(pairs[i].Prediction, pairs[i].Label));
        return scores;
    }

    /// <summary>The unweighted mean of each score.</summary>
    /// <exception cref="ArgumentException">There are no scores.</exception>
    public static GenerationScores Mean(IReadOnlyCollection<GenerationScores> scores) =>
        scores.Count > 0
            ? new GenerationScores(
                scores.Average(s => s.Rouge1),
                scores.Average(s => s.Rouge2),
                scores.Average(s => s.RougeL),
                scores.Average(s => s.Bleu4)
            )
            : throw new ArgumentException("Cannot average zero scores.", nameof(scores));
}
