namespace GlmTune.Collectives;

/// <summary>How ranks wait for each other.</summary>
public sealed record CollectivesOptions
{
    /// <summary>How long a call may take, from its start to its end, before the run is ended on all ranks. Default 600
    /// s.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Not above zero.</exception>
    public TimeSpan Timeout
    {
        get;
        init =>
            field =
                value > TimeSpan.Zero
                    ? value
                    : throw new ArgumentOutOfRangeException(nameof(value), value, "The timeout must be above zero.");
    } = TimeSpan.FromSeconds(600);

    /// <summary>
    /// Whether MPI ranks compare each call with the others' before it is made, so that ranks that took different paths
    /// end with a message that names both calls. Costs one small message a call. Default true. Thread ranks always
    /// compare, NCCL never. </summary>
    public bool CompareCalls { get; init; } = true;
}
