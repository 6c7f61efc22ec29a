using System.Buffers;

namespace GlmTune.Kernels.Definitions;

/// <summary>Draws a token from scores: temperature, top-k, top-p, min-p, one random number.</summary>
/// <remarks>Weights are integers: 2⁴⁶ for the highest score, 2^(46 + y) rounded down at y = (score − highest) · scale.
/// So sums do not depend on their order, and a GPU draws the same token from the same scores, bit for bit. y and the
/// power are computed in float32; the power by its series to the seventh order, whose relative error is below 1e-7.
/// Weights below 1 are 0. The sum stays below 2⁶⁴ for at most <see cref="MaxTokens"/> tokens.</remarks>
internal static class TokenDraw
{
    /// <summary>The largest vocabulary.</summary>
    public const int MaxTokens = 163_840;

    private const int Bits = 46;
    private const float Lowest = -47;
    private const float Shift = 12582912; // 1.5 · 2²³: adding it rounds to an integer.

    /// <summary>The factor of score differences for a temperature: log₂(e) / temperature.</summary>
    public static float ScaleOf(double temperature) => (float)Math.Min(Math.Log2(Math.E) / temperature, float.MaxValue);

    /// <summary>The least weight of tokens whose probability is a share of the most likely one's.</summary>
    public static ulong LeastWeight(double minP) => (ulong)Math.Ceiling(minP * (1UL << Bits));

    /// <summary>The weight of a score.</summary>
    /// <param name="score">At most <paramref name="highest"/>.</param>
    /// <param name="highest">The highest score of the row, which is finite.</param>
    /// <param name="scale">See <see cref="ScaleOf"/>.</param>
    public static ulong Weight(float score, float highest, float scale)
    {
        var y = (score - highest) * scale;
        if (!(y > Lowest))
        {
            return 0;
        }

        var shifted = y + Shift;
        var whole = BitConverter.SingleToInt32Bits(shifted) - BitConverter.SingleToInt32Bits(Shift);
        var x = y - (shifted - Shift);
        var power = 1.5252734e-5f; // ln(2)ⁿ / n!, from n = 7 down.
        power = MathF.FusedMultiplyAdd(power, x, 1.5403530e-4f);
        power = MathF.FusedMultiplyAdd(power, x, 1.3333558e-3f);
        power = MathF.FusedMultiplyAdd(power, x, 9.6181291e-3f);
        power = MathF.FusedMultiplyAdd(power, x, 5.5504109e-2f);
        power = MathF.FusedMultiplyAdd(power, x, 2.4022651e-1f);
        power = MathF.FusedMultiplyAdd(power, x, 6.9314718e-1f);
        power = MathF.FusedMultiplyAdd(power, x, 1);
        var digits = (uint)(power * (1 << 24)); // Exact: a number from 0.7 to 1.42 has no finer digits.
        var places = Bits - 24 + whole;
        return places >= 0 ? (ulong)digits << places : digits >> -places;
    }

    /// <summary>Draws the index of a score.</summary>
    /// <param name="scores">Scores by ascending ids; those of negative infinity are never drawn.</param>
    /// <param name="highest">The highest of them, which is finite.</param>
    /// <param name="row">Scale, top-k (scores equal to the last one kept are kept too), top-p (of equals the lowest
    /// ids), min-p, and the random number: the token of the first weight sum above random · sum / 2⁶⁴.</param>
    public static int Draw(ReadOnlySpan<float> scores, float highest, in SamplingRow row)
    {
        var least = row.TopK > 0 && row.TopK < scores.Length ? Largest(scores, row.TopK) : float.NegativeInfinity;
        var rented = ArrayPool<ulong>.Shared.Rent(scores.Length);
        try
        {
            var weights = rented.AsSpan(0, scores.Length);
            for (var i = 0; i < scores.Length; i++)
            {
                weights[i] = scores[i] >= least ? Weight(scores[i], highest, row.Scale) : 0;
            }

            if (row.TopP < 1)
            {
                KeepNucleus(scores, weights, row.TopP);
            }

            var sum = 0UL;
            foreach (ref var weight in weights)
            {
                weight = weight >= row.LeastWeight ? weight : 0;
                sum += weight;
            }

            var left = Math.BigMul(row.Random, sum, out _);
            var index = 0;
            while (left >= weights[index])
            {
                left -= weights[index++];
            }

            return index;
        }
        finally
        {
            ArrayPool<ulong>.Shared.Return(rented);
        }
    }

    // The smallest set of most likely tokens whose weights add up to a share of the sum. Tokens below (1 - p)/n of the
    // sum add up to less than 1 - p, so the others reach p without them, and only those need sorting.
    private static void KeepNucleus(ReadOnlySpan<float> scores, Span<ulong> weights, double topP)
    {
        var sum = 0UL;
        foreach (var weight in weights)
        {
            sum += weight;
        }

        var target = Math.Clamp((ulong)Math.Ceiling(topP * sum), 1, sum);
        var negligible = (ulong)((1 - topP) * sum / weights.Length * 0.999);
        var candidates = new List<(int Index, float Score, ulong Weight)>();
        for (var i = 0; i < weights.Length; i++)
        {
            if (weights[i] > 0 && weights[i] >= negligible)
            {
                candidates.Add((i, scores[i], weights[i]));
            }
        }

        candidates.Sort((a, b) => a.Score != b.Score ? b.Score.CompareTo(a.Score) : a.Index.CompareTo(b.Index));
        var (kept, reached) = (0, 0UL);
        while (kept < candidates.Count && reached < target)
        {
            reached += candidates[kept++].Weight;
        }

        weights.Clear();
        foreach (var (index, _, weight) in candidates[..kept])
        {
            weights[index] = weight;
        }
    }

    private static float Largest(ReadOnlySpan<float> scores, int count)
    {
        var kept = new PriorityQueue<float, float>(count);
        foreach (var score in scores)
        {
            if (kept.Count < count)
            {
                kept.Enqueue(score, score);
            }
            else if (score > kept.Peek())
            {
                kept.EnqueueDequeue(score, score);
            }
        }

        return kept.Peek();
    }
}
