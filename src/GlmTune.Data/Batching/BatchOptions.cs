namespace GlmTune.Data.Batching;

/// <summary>How a split's examples are grouped into steps.</summary>
internal sealed record BatchOptions
{
    /// <summary>Seed that alone determines the order of examples in each epoch.</summary>
    public long Seed { get; init; } = 42;

    /// <summary>Whether each epoch has its own random order; otherwise examples keep the order of the split.</summary>
    public bool Shuffle { get; init; } = true;

    /// <summary>Rows of a padded micro-batch. Ignored when packing, where a micro-batch is one packed row.</summary>
    public int RowsPerMicroBatch { get; init; } = 1;

    /// <summary>Micro-batches per step on one rank.</summary>
    public int AccumulationSteps { get; init; } = 1;

    /// <summary>Whether an epoch drops the last rows if they do not fill a padded micro-batch. The order changes with
    /// each epoch, so these are not always the same rows.</summary>
    public bool DropLast { get; init; }

    /// <summary>Maximum tokens per packed row; null: examples are padded, not packed.</summary>
    public int? PackedTokens { get; init; }

    /// <summary>Number of examples that are packed together; more fills rows better, fewer stays closer to the shuffled
    /// order.</summary>
    public int PackingWindow { get; init; } = 4096;
}
