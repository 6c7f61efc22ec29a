namespace GlmTune.Collectives;

/// <summary>Options of collectives.</summary>
internal sealed record CollectivesOptions
{
    /// <summary>Maximum duration of a call before the run is ended on all ranks. Default: 600 s.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is not positive.</exception>
    public TimeSpan Timeout
    {
        get;
        init =>
            field =
                value > TimeSpan.Zero
                    ? value
                    : throw new ArgumentOutOfRangeException(nameof(value), value, "The timeout must be above zero.");
    } = TimeSpan.FromSeconds(600);

    /// <summary>Whether MPI ranks compare calls before making them, so that ranks on different code paths end with a
    /// message that names both calls. Costs one small message per call. Default: true. Thread ranks always compare,
    /// NCCL ranks never do.</summary>
    public bool CompareCalls { get; init; } = true;
}
