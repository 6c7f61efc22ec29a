using static TorchSharp.torch;

namespace GlmTune.Collectives;

/// <summary>One collective call of thread ranks: it collects the operation of each, and moves the data when all have
/// arrived.</summary>
internal sealed class MatchedCall(int worldSize)
{
    private readonly CollectiveOperation?[] operations = new CollectiveOperation?[worldSize];

    public bool Done { get; set; }

    /// <summary>Whether the last rank to arrive is moving the data.</summary>
    public bool Moving { get; set; }

    public bool Complete => Array.TrueForAll(operations, operation => operation is not null);

    public IEnumerable<int> Missing => Enumerable.Range(0, worldSize).Where(rank => operations[rank] is null);

    /// <summary>Adds a rank's operation.</summary>
    /// <returns>A rank that made a different call; null if there is none.</returns>
    public (int Rank, CollectiveCall Call)? Add(int rank, CollectiveOperation operation)
    {
        var other = Array.FindIndex(
            operations,
            present => present is not null && !CallComparison.Same(present.Call, operation.Call)
        );
        operations[rank] = operation;
        return other < 0 ? null : (other, operations[other]!.Call);
    }

    /// <summary>Moves the data of all ranks, on the calling thread.</summary>
    public void Perform()
    {
        using var noGradient = no_grad();
        using var scope = NewDisposeScope();
        var all = operations.OfType<CollectiveOperation>().ToArray();
        switch (all[0].Call.Collective)
        {
            case Collective.AllGather or Collective.Barrier or Collective.Close:
                Each((rank, source) => Copy(all[source].Input, Slice(all[rank].Output, source)));
                break;
            case Collective.ReduceScatterSum:
                Array.ForEach(
                    Ranks(),
                    rank => RankOrderSum.Write(Array.ConvertAll(all, each => Slice(each.Input, rank)), all[rank].Output)
                );
                break;
            case Collective.AllReduceSum:
                RankOrderSum.Write(Array.ConvertAll(all, each => each.Input), all[0].Output);
                Array.ForEach(Ranks(), rank => Copy(all[0].Output, all[rank].Output));
                break;
            case Collective.Broadcast:
                Array.ForEach(Ranks(), rank => Copy(all[all[0].Call.Root!.Value].Input, all[rank].Output));
                break;
            case Collective.AllToAll:
                Exchange(all, all[0].Call.Group ?? worldSize);
                break;
            case Collective.RingShift:
                Array.ForEach(Ranks(), rank => Copy(all[(rank + worldSize - 1) % worldSize].Input, all[rank].Output));
                break;
            default:
                throw new NotSupportedException($"{all[0].Call.Collective} is not supported by thread ranks.");
        }
    }

    private void Exchange(CollectiveOperation[] all, int group) =>
        Each(
            (rank, source) =>
            {
                if (rank / group == source / group)
                {
                    Copy(Slice(all[source].Input, rank % group, group), Slice(all[rank].Output, source % group, group));
                }
            }
        );

    private int[] Ranks() => [.. Enumerable.Range(0, worldSize)];

    private void Each(Action<int, int> act)
    {
        for (var rank = 0; rank < worldSize; rank++)
        {
            for (var source = 0; source < worldSize; source++)
            {
                act(rank, source);
            }
        }
    }

    private Tensor Slice(Tensor whole, int rank) => Slice(whole, rank, worldSize);

    private static Tensor Slice(Tensor whole, int rank, int count)
    {
        var length = whole.numel() / count;
        return whole.narrow(0, rank * length, length);
    }

    private static void Copy(Tensor source, Tensor destination)
    {
        if (!ReferenceEquals(source, destination))
        {
            destination.copy_(source);
        }
    }
}
