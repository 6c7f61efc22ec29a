namespace GlmTune.Data.Checking;

/// <summary>How long the rows of a split are, in tokens, before any cut.</summary>
public sealed record LengthSummary
{
    private LengthSummary(int[] sorted, IReadOnlyList<(int AtMost, int Rows)> histogram)
    {
        Histogram = histogram;
        if (sorted.Length > 0)
        {
            (Shortest, Longest, Mean) = (sorted[0], sorted[^1], sorted.Average());
            (Median, Percentile95) = (AtShare(sorted, 0.5), AtShare(sorted, 0.95));
        }
    }

    /// <summary>Tokens of the shortest row; 0 without rows, as all figures here.</summary>
    public int Shortest { get; }

    /// <summary>The length that half of the rows do not exceed.</summary>
    public int Median { get; }

    /// <summary>The mean.</summary>
    public double Mean { get; }

    /// <summary>The length that 95 of 100 rows do not exceed.</summary>
    public int Percentile95 { get; }

    /// <summary>Tokens of the longest row.</summary>
    public int Longest { get; }

    /// <summary>Rows by length: each entry counts those longer than the entry before it allows, up to <c>AtMost</c>, a
    /// power of two.</summary>
    public IReadOnlyList<(int AtMost, int Rows)> Histogram { get; }

    /// <summary>Summarises lengths, in any order.</summary>
    public static LengthSummary Of(IEnumerable<int> lengths)
    {
        int[] sorted = [.. lengths.Order()];
        var histogram = new List<(int, int)>();
        for (var (counted, edge) = (0, 16); counted < sorted.Length; edge *= 2)
        {
            var rows = sorted.AsSpan(counted).IndexOfAnyExceptInRange(0, edge);
            rows = rows < 0 ? sorted.Length - counted : rows;
            if (rows > 0 || histogram.Count > 0)
            {
                histogram.Add((edge, rows));
            }

            counted += rows;
        }

        return new LengthSummary(sorted, histogram);
    }

    // The smallest length that at least that share of the rows do not exceed.
    private static int AtShare(int[] sorted, double share) => sorted[(int)Math.Ceiling(share * sorted.Length) - 1];
}
