using System.Globalization;

namespace GlmTune.Collectives;

/// <summary>What a rank is doing, for <see cref="StallWatch"/>: signs of progress, and the collective that it waits
/// in.</summary>
/// <remarks>Written by the rank's threads, read by the watch's.</remarks>
internal sealed class RankActivity(int rank, int worldSize)
{
    private readonly Lock gate = new();
    private CollectiveCall? current;
    private CollectiveCall? last;
    private long signs;
    private long finished;

    /// <summary>Number of signs of progress so far.</summary>
    public long Signs => Volatile.Read(ref signs);

    /// <summary>Whether the rank has begun to train; before that, it reads files that may be large.</summary>
    public bool IsTraining { get; private set; }

    /// <summary>Finds a call that is under way although nothing waits for it; null: none.</summary>
    public Func<CollectiveCall?>? UnderWay { get; set; }

    /// <summary>Records that the rank begins to train.</summary>
    public void StartTraining()
    {
        IsTraining = true;
        Progress();
    }

    /// <summary>Records progress of any kind: a finished step, a row that was evaluated.</summary>
    public void Progress() => Interlocked.Increment(ref signs);

    /// <summary>Records that the rank now waits for a call.</summary>
    public void Begin(CollectiveCall call)
    {
        lock (gate)
        {
            current = call;
        }

        Progress();
    }

    /// <summary>Records that the call is over.</summary>
    public void End()
    {
        lock (gate)
        {
            (last, current) = (current, null);
            finished++;
        }

        Progress();
    }

    /// <summary>A sentence: <c>Rank 1 of 4: waits in AllGather of bfloat16 [512] at step 12, layer 3; 4,711 collectives
    /// were finished before.</c></summary>
    public string Describe()
    {
        var underWay = UnderWay?.Invoke();
        lock (gate)
        {
            var done = string.Create(CultureInfo.InvariantCulture, $"{finished:N0} collectives were finished before");
            return (current ?? underWay) is { } call ? $"Rank {rank} of {worldSize}: waits in {call}; {done}."
                : last is not null
                    ? $"Rank {rank} of {worldSize}: is in no collective; the last one was {last}; {done}."
                : $"Rank {rank} of {worldSize}: is in no collective, and made none before.";
        }
    }
}

/// <summary>A call whose waiting is recorded.</summary>
internal sealed class RecordedPending(Pending inner, CollectiveCall call, RankActivity activity) : Pending
{
    /// <inheritdoc/>
    public override void Wait()
    {
        activity.Begin(call);
        inner.Wait();
        activity.End();
    }
}
