namespace GlmTune.Data.Checking;

/// <summary>The distribution of row lengths in a split, in tokens, before truncation.</summary>
internal sealed record LengthSummary
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

    /// <summary>Length of the shortest row; 0 without rows, as are the other figures.</summary>
    public int Shortest { get; }

    /// <summary>The median.</summary>
    public int Median { get; }

    /// <summary>The mean.</summary>
    public double Mean { get; }

    /// <summary>The 95th percentile.</summary>
    public int Percentile95 { get; }

    /// <summary>Length of the longest row.</summary>
    public int Longest { get; }

    /// <summary>A histogram: each entry counts the rows longer than the previous entry's limit and up to <c>AtMost</c>,
    /// a power of two.</summary>
    public IReadOnlyList<(int AtMost, int Rows)> Histogram { get; }

    /// <summary>Summarizes lengths given in any order.</summary>
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

    // The smallest length that at least this share of the rows do not exceed.
    private static int AtShare(int[] sorted, double share) => sorted[(int)Math.Ceiling(share * sorted.Length) - 1];
}
