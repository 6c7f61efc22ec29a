using System.Text.RegularExpressions;

namespace GlmTune.Evaluation.Metrics;

/// <summary>The overlap of two texts by one measure.</summary>
/// <param name="Precision">Fraction of the prediction found in the reference, 0 to 1.</param>
/// <param name="Recall">Fraction of the reference found in the prediction, 0 to 1.</param>
public readonly record struct RougeScore(double Precision, double Recall)
{
    /// <summary>Harmonic mean of precision and recall, computed with a tiny term in the denominator so that 0 and 0
    /// give 0.</summary>
    public double F => 2.0 * (Precision * Recall / (Precision + Recall + 1e-8));
}

/// <summary>ROUGE-1, ROUGE-2 and ROUGE-L of two segmented texts, as the package rouge_chinese 1.0.3 computes
/// them.</summary>
/// <remarks>The words are joined by spaces, broken into lines after Chinese sentence ends, and split again at single
/// spaces. This removes white-space words and leaves an empty word for a blank line. N-grams are counted as sets.
/// ROUGE-L uses one longest common subsequence over all words.</remarks>
public static partial class Rouge
{
    /// <summary>Compares a prediction with its reference, both segmented into words; zeros if either is
    /// empty.</summary>
    public static (RougeScore Rouge1, RougeScore Rouge2, RougeScore RougeL) Score(
        IReadOnlyList<string> prediction,
        IReadOnlyList<string> label
    )
    {
        var numbers = new Dictionary<string, int>(StringComparer.Ordinal);
        var predicted = Number(prediction, numbers);
        var expected = Number(label, numbers);
        if (predicted.Length == 0 || expected.Length == 0)
        {
            return default;
        }

        var common = LongestCommonSubsequence(predicted, expected);
        return (
            Overlap(predicted.ToHashSet(), expected.ToHashSet()),
            Overlap(Pairs(predicted), Pairs(expected)),
            new RougeScore((double)common / predicted.Length, (double)common / expected.Length)
        );
    }

    /// <summary>The words after joining, breaking into sentences and splitting, each as a number; equal words have
    /// equal numbers.</summary>
    private static int[] Number(IReadOnlyList<string> words, Dictionary<string, int> numbers)
    {
        if (words.Count == 0)
        {
            return [];
        }

        var text = string.Join(' ', words);
        text = SentenceEnd().Replace(text, "$1\n$2");
        text = SixDots().Replace(text, "$1\n$2");
        text = Ellipsis().Replace(text, "$1\n$2");
        text = QuoteAfterSentenceEnd().Replace(text, "$1\n$2");
        var result = new List<int>(words.Count);
        foreach (var line in PythonText.TrimEnd(text).Split('\n'))
        {
            if (line.Length == 0)
            {
                continue;
            }

            var lineWords = PythonText.Split(line);
            foreach (var word in lineWords.Count > 0 ? lineWords : [""])
            {
                if (!numbers.TryGetValue(word, out var number))
                {
                    number = numbers.Count;
                    numbers.Add(word, number);
                }

                result.Add(number);
            }
        }

        return [.. result];
    }

    private static HashSet<(int First, int Second)> Pairs(int[] words)
    {
        var pairs = new HashSet<(int, int)>();
        for (var i = 1; i < words.Length; i++)
        {
            pairs.Add((words[i - 1], words[i]));
        }

        return pairs;
    }

    private static RougeScore Overlap<T>(HashSet<T> predicted, HashSet<T> expected)
    {
        var common = predicted.Count(expected.Contains);
        return new RougeScore(
            predicted.Count == 0 ? 0 : (double)common / predicted.Count,
            expected.Count == 0 ? 0 : (double)common / expected.Count
        );
    }

    private static int LongestCommonSubsequence(int[] one, int[] other)
    {
        var lengths = new int[other.Length + 1]; // between the words of `one` so far and each prefix of `other`
        foreach (var word in one)
        {
            var diagonal = 0;
            for (var j = 1; j < lengths.Length; j++)
            {
                var above = lengths[j];
                lengths[j] = word == other[j - 1] ? diagonal + 1 : Math.Max(above, lengths[j - 1]);
                diagonal = above;
            }
        }

        return lengths[^1];
    }

    [GeneratedRegex("([。！？?])([^”’])")]
    private static partial Regex SentenceEnd();

    [GeneratedRegex(@"(\.{6})([^”’])")]
    private static partial Regex SixDots();

    [GeneratedRegex("(…{2})([^”’])")]
    private static partial Regex Ellipsis();

    [GeneratedRegex("([。！？?][”’])([^，。！？?])")]
    private static partial Regex QuoteAfterSentenceEnd();
}
