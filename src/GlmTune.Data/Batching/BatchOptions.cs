namespace GlmTune.Data.Batching;

/// <summary>How a split's examples are put together into steps.</summary>
public sealed record BatchOptions
{
    /// <summary>Decides the order of examples in each epoch, and nothing else does.</summary>
    public long Seed { get; init; } = 42;

    /// <summary>Whether each epoch has an order of its own; otherwise it is the split's.</summary>
    public bool Shuffle { get; init; } = true;

    /// <summary>Rows of a padded micro-batch; without meaning when packed, where a micro-batch is one row.</summary>
    public int RowsPerMicroBatch { get; init; } = 1;

    /// <summary>Micro-batches of one rank that make a step.</summary>
    public int AccumulationSteps { get; init; } = 1;

    /// <summary>Whether an epoch leaves out its last rows where they do not fill a padded micro-batch. The order
    /// changes with each epoch, so those are not always the same.</summary>
    public bool DropLast { get; init; }

    /// <summary>Tokens of a packed row, at most; null: examples are padded, not packed.</summary>
    public int? PackedTokens { get; init; }

    /// <summary>Examples that the packer arranges at a time; more fills rows better, fewer keeps closer to the shuffled
    /// order.</summary>
    public int PackingWindow { get; init; } = 4096;
}
