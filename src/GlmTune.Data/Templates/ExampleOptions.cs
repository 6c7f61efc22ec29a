using GlmTune.Data.Conversations;

namespace GlmTune.Data.Templates;

/// <summary>How a data file is turned into examples.</summary>
public sealed record ExampleOptions
{
    /// <summary>What to do with rows that have a problem, including rows without supervised tokens.</summary>
    public BadRows BadRows { get; init; } = BadRows.Error;

    /// <summary>Number of rows processed concurrently (<c>num_proc</c>); null: as many as the process has processors.
    /// The result does not depend on it.</summary>
    public int? Parallelism { get; init; }

    internal int Threads => Parallelism ?? Environment.ProcessorCount;

    /// <summary>Number of rows to use, from the first; null: all.</summary>
    public int? MaxRows { get; init; }
}
