namespace GlmTune.Collectives;

/// <summary>The collective operations.</summary>
internal enum Collective
{
    /// <summary>Every rank gets every rank's shard.</summary>
    AllGather,

    /// <summary>Every rank gets its slice of the sum.</summary>
    ReduceScatterSum,

    /// <summary>Every rank gets the whole sum.</summary>
    AllReduceSum,

    /// <summary>Every rank gets one rank's values.</summary>
    Broadcast,

    /// <summary>Every rank sends a different slice to each rank.</summary>
    AllToAll,

    /// <summary>Every rank sends to the next one.</summary>
    RingShift,

    /// <summary>Every rank waits for the others.</summary>
    Barrier,

    /// <summary>Every rank signs off.</summary>
    Close,
}
