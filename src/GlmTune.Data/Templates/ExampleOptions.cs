using GlmTune.Data.Conversations;

namespace GlmTune.Data.Templates;

/// <summary>How a data file becomes examples.</summary>
public sealed record ExampleOptions
{
    /// <summary>What is done with rows that have a problem, including rows without supervised tokens.</summary>
    public BadRows BadRows { get; init; } = BadRows.Error;

    /// <summary>Rows that are processed at the same time (<c>num_proc</c>); the result does not depend on it.</summary>
    public int Parallelism { get; init; } = 1;

    /// <summary>Rows that are used, from the first; null for all.</summary>
    public int? MaxRows { get; init; }
}
