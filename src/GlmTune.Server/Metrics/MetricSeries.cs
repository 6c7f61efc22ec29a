namespace GlmTune.Server;

/// <summary>One series of an instrument: its measurements under one set of labels. Not thread-safe.</summary>
/// <param name="labels">Names and values, in the order in which they are written.</param>
/// <param name="bounds">Upper bounds of a histogram's buckets, inclusive and ascending; empty for other
/// instruments.</param>
internal sealed class MetricSeries(IReadOnlyList<(string Name, string Value)> labels, IReadOnlyList<double> bounds)
{
    private readonly long[] counts = new long[bounds.Count + 1];

    /// <summary>Names and values.</summary>
    public IReadOnlyList<(string Name, string Value)> Labels => labels;

    /// <summary>The sum of what was added or recorded, or the last value that was set.</summary>
    public double Value { get; private set; }

    /// <summary>How many measurements there were.</summary>
    public long Count { get; private set; }

    /// <summary>A histogram's buckets: upper bound and how many measurements are not above it; the last bound is
    /// infinite.</summary>
    public IEnumerable<(double Bound, long Count)> Buckets
    {
        get
        {
            var sum = 0L;
            foreach (var (index, count) in counts.Index())
            {
                sum += count;
                yield return (index < bounds.Count ? bounds[index] : double.PositiveInfinity, sum);
            }
        }
    }

    /// <summary>Adds to a counter, or records in a histogram.</summary>
    public void Add(double value)
    {
        var bucket = 0;
        while (bucket < bounds.Count && !(value <= bounds[bucket]))
        {
            bucket++;
        }

        counts[bucket]++;
        Count++;
        Value += value;
    }

    /// <summary>Sets the value that an instrument reports of itself.</summary>
    public void Set(double value) => Value = value;
}
