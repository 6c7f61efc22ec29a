using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace GlmTune.Evaluation.Metrics;

/// <summary>BLEU-4 of one segmented text against one reference, smoothed like nltk 3.8's <c>sentence_bleu</c> with its
/// method 3 (NIST's).</summary>
/// <remarks>Papineni et al., BLEU, ACL 2002; smoothing: Chen and Cherry, WMT 2014, method 3.</remarks>
public static class Bleu
{
    private const int Orders = 4;

    /// <summary>The score, 0 to 1; 0 if either text is empty or they share no word.</summary>
    public static double Score(IReadOnlyList<string> prediction, IReadOnlyList<string> label)
    {
        if (prediction.Count == 0 || label.Count == 0)
        {
            return 0;
        }

        var numbers = new Dictionary<string, int>(StringComparer.Ordinal);
        var predicted = Number(prediction, numbers);
        var expected = Number(label, numbers);
        var logarithms = 0.0;
        var withoutMatch = 0;
        for (var order = 1; order <= Orders; order++)
        {
            var matches = ClippedMatches(predicted, expected, order);
            if (matches == 0 && order == 1)
            {
                return 0;
            }

            var total = Math.Max(1, predicted.Length - order + 1);
            var precision = matches > 0 ? (double)matches / total : 1.0 / (Math.Pow(2, ++withoutMatch) * total);
            logarithms += Math.Log(precision) / Orders;
        }

        var brevity =
            predicted.Length > expected.Length ? 1 : Math.Exp(1 - ((double)expected.Length / predicted.Length));
        return brevity * Math.Exp(logarithms);
    }

    private static int[] Number(IReadOnlyList<string> words, Dictionary<string, int> numbers)
    {
        var result = new int[words.Count];
        for (var i = 0; i < result.Length; i++)
        {
            ref var number = ref CollectionsMarshal.GetValueRefOrAddDefault(numbers, words[i], out var known);
            number = known ? number : numbers.Count;
            result[i] = number;
        }

        return result;
    }

    /// <summary>Number of n-grams of the prediction that occur in the reference, each counted at most as often as it
    /// occurs there.</summary>
    private static int ClippedMatches(int[] predicted, int[] expected, int order)
    {
        var available = new Dictionary<(int, int, int, int), int>();
        for (var i = 0; i + order <= expected.Length; i++)
        {
            CollectionsMarshal.GetValueRefOrAddDefault(available, Gram(expected, i, order), out _)++;
        }

        var matches = 0;
        for (var i = 0; i + order <= predicted.Length; i++)
        {
            ref var left = ref CollectionsMarshal.GetValueRefOrNullRef(available, Gram(predicted, i, order));
            if (!Unsafe.IsNullRef(ref left) && left > 0)
            {
                left--;
                matches++;
            }
        }

        return matches;
    }

    /// <summary>Words are numbered from 1, so shorter n-grams end in zeros.</summary>
    private static (int, int, int, int) Gram(int[] words, int at, int order) =>
        (words[at], order > 1 ? words[at + 1] : 0, order > 2 ? words[at + 2] : 0, order > 3 ? words[at + 3] : 0);
}
