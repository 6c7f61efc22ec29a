namespace GlmTune.Collectives;

/// <summary>Statistics of one rank's communication: what it has sent, and how much of the time was not hidden behind
/// computation.</summary>
/// <remarks>Updated as calls finish. Thread-safe for reading.</remarks>
internal sealed class Traffic
{
    private readonly Lock gate = new();
    private TrafficCount total;

    /// <summary>The counts so far.</summary>
    public TrafficCount Total
    {
        get
        {
            lock (gate)
            {
                return total;
            }
        }
    }

    internal void Add(CollectiveCall call, int worldSize, long elementSize, TimeSpan busy, TimeSpan exposed)
    {
        var bytes = BytesSent(call, worldSize, elementSize);
        lock (gate)
        {
            total = new TrafficCount(
                total.Calls + 1,
                total.BytesSent + bytes,
                total.Busy + busy,
                total.Exposed + exposed
            );
        }
    }

    // What a bandwidth-optimal algorithm sends from one rank; a broadcast passes through each rank once.
    private static long BytesSent(CollectiveCall call, int worldSize, long elementSize)
    {
        var bytes = call.Shape.Aggregate(elementSize, (product, length) => product * length);
        return worldSize == 1
            ? 0
            : call.Collective switch
            {
                Collective.AllGather => bytes * (worldSize - 1),
                Collective.AllToAll when call.Group is { } group => bytes / group * (group - 1),
                Collective.ReduceScatterSum or Collective.AllToAll => bytes / worldSize * (worldSize - 1),
                Collective.AllReduceSum => 2 * bytes * (worldSize - 1) / worldSize,
                Collective.Broadcast or Collective.RingShift => bytes,
                _ => 0,
            };
    }
}

/// <summary>Communication counts of one rank.</summary>
/// <param name="Calls">Number of finished calls.</param>
/// <param name="BytesSent">Bytes sent by this rank, according to a bandwidth-optimal algorithm: (N − 1)/N of the full
/// buffer for a gather or scatter.</param>
/// <param name="Busy">Total duration of the calls.</param>
/// <param name="Exposed">The part of it during which this rank's computation waited for them.</param>
internal readonly record struct TrafficCount(long Calls, long BytesSent, TimeSpan Busy, TimeSpan Exposed)
{
    /// <summary>Fraction of <see cref="Busy"/> hidden behind computation, 0 to 1; 1 if nothing was sent.</summary>
    public double Overlap => Busy > TimeSpan.Zero ? Math.Clamp(1 - (Exposed / Busy), 0, 1) : 1;

    /// <summary>The difference to an earlier reading.</summary>
    public static TrafficCount operator -(TrafficCount later, TrafficCount earlier) =>
        new(
            later.Calls - earlier.Calls,
            later.BytesSent - earlier.BytesSent,
            later.Busy - earlier.Busy,
            later.Exposed - earlier.Exposed
        );

    /// <summary>The difference to an earlier reading.</summary>
    public static TrafficCount Subtract(TrafficCount later, TrafficCount earlier) => later - earlier;
}
