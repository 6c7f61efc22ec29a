namespace GlmTune.Collectives;

/// <summary>What one rank has sent and what of it was not hidden behind computation.</summary>
/// <remarks>Counts grow as calls finish. Safe to read from any thread.</remarks>
public sealed class Traffic
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
                Collective.ReduceScatterSum or Collective.AllToAll => bytes / worldSize * (worldSize - 1),
                Collective.AllReduceSum => 2 * bytes * (worldSize - 1) / worldSize,
                Collective.Broadcast or Collective.RingShift => bytes,
                _ => 0,
            };
    }
}

/// <summary>Counts of one rank's collectives.</summary>
/// <param name="Calls">Finished calls.</param>
/// <param name="BytesSent">Bytes that left this rank, by the formula of a bandwidth-optimal algorithm: (N − 1)/N of a
/// gathered or scattered whole.</param>
/// <param name="Busy">Sum of the times that calls were under way.</param>
/// <param name="Exposed">Of that, the time that this rank's computation stood waiting for them.</param>
public readonly record struct TrafficCount(long Calls, long BytesSent, TimeSpan Busy, TimeSpan Exposed)
{
    /// <summary>Part of <see cref="Busy"/> hidden behind computation, from 0 to 1; 1 where nothing was sent.</summary>
    public double Overlap => Busy > TimeSpan.Zero ? Math.Clamp(1 - (Exposed / Busy), 0, 1) : 1;

    /// <summary>What was counted since an earlier reading.</summary>
    public static TrafficCount operator -(TrafficCount later, TrafficCount earlier) =>
        new(
            later.Calls - earlier.Calls,
            later.BytesSent - earlier.BytesSent,
            later.Busy - earlier.Busy,
            later.Exposed - earlier.Exposed
        );

    /// <summary>What was counted since an earlier reading.</summary>
    public static TrafficCount Subtract(TrafficCount later, TrafficCount earlier) => later - earlier;
}
