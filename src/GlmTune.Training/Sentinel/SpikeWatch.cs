namespace GlmTune.Training.Sentinel;

/// <summary>Finds a loss or gradient norm that is far above the median of the steps before.</summary>
/// <remarks>Only accepted steps count, so a spike does not raise the median. The numbers of the window are part of a
/// checkpoint, so a resumed run decides like an uninterrupted one.</remarks>
/// <param name="factor">A number is a spike if it is above the median by more than this factor; 0: never.</param>
/// <param name="window">Number of steps that count.</param>
internal sealed class SpikeWatch(double factor, int window)
{
    // Fewer say little about what is usual.
    private const int Fewest = 8;

    private readonly Queue<double> losses = new();
    private readonly Queue<double> norms = new();

    /// <summary>Losses of the last accepted steps, oldest first.</summary>
    public IReadOnlyCollection<double> Losses => losses;

    /// <summary>Gradient norms of the last accepted steps, oldest first.</summary>
    public IReadOnlyCollection<double> Norms => norms;

    /// <summary>Which number is a spike, its value and the median; null: none.</summary>
    public (string What, double Value, double Median)? Find(double loss, double norm) =>
        IsSpike(losses, loss) is { } ofLosses ? ("loss", loss, ofLosses)
        : IsSpike(norms, norm) is { } ofNorms ? ("gradient norm", norm, ofNorms)
        : null;

    /// <summary>Counts an accepted step.</summary>
    public void Add(double loss, double norm)
    {
        if (factor > 0)
        {
            Add(losses, loss);
            Add(norms, norm);
        }
    }

    /// <summary>Replaces the numbers, by those of a checkpoint.</summary>
    public void Restore(IEnumerable<double> oldLosses, IEnumerable<double> oldNorms)
    {
        losses.Clear();
        norms.Clear();
        foreach (var (loss, norm) in oldLosses.Zip(oldNorms))
        {
            Add(loss, norm);
        }
    }

    private void Add(Queue<double> values, double value)
    {
        values.Enqueue(value);
        while (values.Count > window)
        {
            values.Dequeue();
        }
    }

    private double? IsSpike(Queue<double> values, double value)
    {
        if (factor <= 0 || values.Count < Math.Min(window, Fewest))
        {
            return null;
        }

        var sorted = values.Order().ToList();
        var median = (sorted[(sorted.Count - 1) / 2] + sorted[sorted.Count / 2]) / 2;
        return value > factor * median ? median : null;
    }
}
