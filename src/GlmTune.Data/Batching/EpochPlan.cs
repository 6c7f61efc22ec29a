namespace GlmTune.Data.Batching;

/// <summary>The micro-batches of one epoch as example indices, for all ranks together.</summary>
/// <remarks>Depends only on options, epoch and lengths: the world size only decides which rank takes which micro-batch
/// of a step.</remarks>
internal sealed class EpochPlan
{
    private readonly int[] order;
    private readonly int[] starts;

    /// <param name="order">The examples of all micro-batches, in order.</param>
    /// <param name="starts">Where each micro-batch starts in it, and where the last ends.</param>
    private EpochPlan(int[] order, int[] starts) => (this.order, this.starts) = (order, starts);

    /// <summary>Number of micro-batches.</summary>
    public int MicroBatches => starts.Length - 1;

    /// <summary>The example indices of a micro-batch. Every example of the split is in exactly one, except those
    /// dropped by <see cref="BatchOptions.DropLast"/>.</summary>
    public ReadOnlySpan<int> MicroBatch(int index) => order.AsSpan(starts[index]..starts[index + 1]);

    /// <summary>Plans an epoch.</summary>
    /// <param name="tokens">Token count of each example of the split.</param>
    /// <param name="options">How examples are grouped.</param>
    /// <param name="epoch">The epoch, from 0.</param>
    /// <exception cref="ArgumentException">An example is longer than a packed row.</exception>
    public static EpochPlan Create(IReadOnlyList<int> tokens, BatchOptions options, int epoch)
    {
        var order = options.Shuffle
            ? SeededOrder.Permutation(tokens.Count, options.Seed, epoch)
            : [.. Enumerable.Range(0, tokens.Count)];
        return options.PackedTokens is { } limit ? Pack(order, tokens, limit, options, epoch) : Chunks(order, options);
    }

    /// <summary>Number of examples that the epoch uses.</summary>
    public int Examples => starts[^1];

    /// <summary>Number of examples in the micro-batches before <paramref name="microBatch"/>.</summary>
    public int ExamplesBefore(int microBatch) => starts[microBatch];

    /// <summary>Whether a micro-batch starts after the first <paramref name="examples"/> examples.</summary>
    public bool BeginsAt(int examples) => examples < Examples && Array.BinarySearch(starts, examples) >= 0;

    /// <summary>The greatest number of examples, at most <paramref name="examples"/>, after which a micro-batch
    /// starts.</summary>
    public int LastStartUpTo(double examples)
    {
        // Rounding can leave a fraction times a count slightly below the integer it stands for.
        var at = Array.BinarySearch(starts, (int)Math.Floor(examples + 1e-6));
        return starts[Math.Min(at >= 0 ? at : ~at - 1, MicroBatches - 1)];
    }

    /// <summary>The micro-batch that starts after the first <paramref name="examples"/> examples.</summary>
    /// <exception cref="ArgumentException">No micro-batch starts there: the plan has changed since the number was
    /// recorded.</exception>
    public int MicroBatchAt(int examples)
    {
        var at = Array.BinarySearch(starts, examples);
        return at >= 0
            ? at
            : throw new ArgumentException(
                $"No micro-batch starts after {examples} examples of this epoch. The data, the seed, the "
                    + "micro-batch size or packing differ from those of the resumed run.",
                nameof(examples)
            );
    }

    private static EpochPlan Chunks(int[] order, BatchOptions options)
    {
        var rows = options.RowsPerMicroBatch;
        var count = options.DropLast ? order.Length / rows : (int)(((long)order.Length + rows - 1) / rows);
        var starts = new int[count + 1];
        for (var i = 1; i <= count; i++)
        {
            starts[i] = (int)Math.Min((long)i * rows, order.Length);
        }

        return new EpochPlan(order, starts);
    }

    // The order of each window is replaced by that of its packed rows.
    private static EpochPlan Pack(int[] order, IReadOnlyList<int> tokens, int limit, BatchOptions options, int epoch)
    {
        List<int> starts = [0];
        for (var (number, at) = (0, 0); at < order.Length; number++)
        {
            var window = order.AsSpan(at, Math.Min(options.PackingWindow, order.Length - at)).ToArray();
            var grouped = Packer.Group(window.Select(index => (index, tokens[index])), limit);

            // The packer opens rows in order of decreasing length; shuffle them so that steps do not go from long
            // examples to short ones.
            var shuffled = options.Shuffle
                ? SeededOrder.Permutation(grouped.Count, options.Seed, ((long)(number + 1) << 32) | (uint)epoch)
                : [.. Enumerable.Range(0, grouped.Count)];
            foreach (var row in shuffled)
            {
                grouped[row].CopyTo(order, at);
                at += grouped[row].Count;
                starts.Add(at);
            }
        }

        return new EpochPlan(order, [.. starts]);
    }
}
