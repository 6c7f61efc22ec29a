using GlmTune.Collectives;
using GlmTune.Kernels;
using static TorchSharp.torch;

namespace GlmTune.Training.Sharding;

/// <summary>Reduces the gradients collected by parameters into the slices of their owners, summed over all
/// ranks.</summary>
/// <remarks>Stage 0 sums whole gradients (all-reduce) and stage 1 leaves each rank its slice (reduce-scatter), both in
/// the last micro-batch of a step; stages 2 and 3 reduce-scatter in every micro-batch, so that no rank keeps more than
/// its slice. At most two calls run concurrently with the backward pass. Source: Rajbhandari et al., ZeRO,
/// arXiv:1910.02054, section 5.</remarks>
internal sealed class GradientReduction(ShardingOptions options, ICollectives? ranks) : IDisposable
{
    private const int MaxUnderWay = 2;
    private readonly Queue<(Pending Call, Tensor Sum, Tensor? AddTo)> underWay = new();
    private readonly Dictionary<FlatShard, Tensor> whole = [];

    /// <summary>Takes and clears the gradients of the shard's parameters.</summary>
    public void Add(FlatShard shard, bool lastOfStep, CallLabel label)
    {
        using var scope = NewDisposeScope();
        if (ranks is null || options.Stage == 0)
        {
            AddTo(shard.Gradient, shard.Layout);
            if (ranks is not null && lastOfStep)
            {
                AllReduce(shard, label);
            }
        }
        else if (options.Stage == 1 && (!lastOfStep || whole.ContainsKey(shard)))
        {
            if (!whole.TryGetValue(shard, out var sum))
            {
                whole.Add(
                    shard,
                    sum = zeros(shard.PaddedCount, shard.Type, shard.Layout.Device).DetachFromDisposeScope()
                );
            }

            AddTo(sum, shard.Layout);
            if (lastOfStep)
            {
                ReduceScatter(shard, (piece, start) => piece.copy_(sum.narrow(0, start, piece.shape[0])), label);
                whole.Remove(shard);
                sum.Dispose();
            }
        }
        else
        {
            ReduceScatter(shard, (piece, start) => CopyGradients(shard.Layout, piece, start), label);
        }

        foreach (var segment in shard.Segments)
        {
            segment.Parameter.ClearGradient();
        }
    }

    /// <summary>Waits for all pending reductions.</summary>
    public void Finish()
    {
        while (underWay.Count > 0)
        {
            FinishOldest();
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var sum in whole.Values)
        {
            sum.Dispose();
        }

        foreach (var call in underWay)
        {
            call.Sum.Dispose();
            call.AddTo?.Dispose();
        }
    }

    private static void AddTo(Tensor sum, FlatLayout layout)
    {
        foreach (var segment in layout.Segments)
        {
            if (segment.Parameter.Gradient is { } gradient)
            {
                FlatLayout.View(sum, segment).AddInPlace(gradient);
            }
        }
    }

    private static void CopyGradients(FlatLayout layout, Tensor piece, long start)
    {
        // A pass without rows leaves no gradients, and gaps between parameters never have one.
        piece.zero_();
        foreach (var (parameter, inPiece, inParameter, count) in layout.Overlaps(start, piece.shape[0]))
        {
            if (parameter.Gradient is { } gradient)
            {
                piece.narrow(0, inPiece, count).copy_(gradient.reshape(-1).narrow(0, inParameter, count));
            }
        }
    }

    private void AllReduce(FlatShard shard, CallLabel label)
    {
        var wire = WireType(shard);
        for (long from = 0; from < shard.Length; from += options.ReduceBucketElements)
        {
            var target = shard.Gradient.narrow(0, from, Math.Min(options.ReduceBucketElements, shard.Length - from));
            if (wire == shard.Type)
            {
                Start(ranks!.AllReduceSum(target, label), target, null);
                continue;
            }

            var bucket = target.to_type(wire);
            Start(ranks!.AllReduceSum(bucket, label), bucket, target.zero_());
        }
    }

    // A bucket contains the same range of every rank's slice, so each rank gets its own range of the sum.
    private void ReduceScatter(FlatShard shard, Action<Tensor, long> fill, CallLabel label)
    {
        var (size, wire) = (shard.WorldSize, WireType(shard));
        var most = Math.Max(FlatLayout.Alignment, options.ReduceBucketElements / size);
        for (long from = 0; from < shard.Length; from += most)
        {
            var count = Math.Min(most, shard.Length - from);
            var bucket = empty(count * size, wire, shard.Layout.Device);
            for (var rank = 0; rank < size; rank++)
            {
                fill(bucket.narrow(0, rank * count, count), (rank * shard.Length) + from);
            }

            var mine = bucket.narrow(0, ranks!.Rank * count, count);
            Start(ranks.ReduceScatterSum(bucket, mine, label), mine, shard.Gradient.narrow(0, from, count));
        }
    }

    private void Start(Pending call, Tensor sum, Tensor? target)
    {
        underWay.Enqueue((call, sum.alias().DetachFromDisposeScope(), target?.DetachFromDisposeScope()));
        while (underWay.Count > (options.OverlapCommunication ? MaxUnderWay : 0))
        {
            FinishOldest();
        }
    }

    private void FinishOldest()
    {
        var (call, sum, target) = underWay.Dequeue();
        call.Wait();
        target?.AddInPlace(sum);
        target?.Dispose();
        sum.Dispose();
    }

    private ScalarType WireType(FlatShard shard) =>
        shard.Type == ScalarType.Float64
            ? ScalarType.Float64
            : options.Communication switch
            {
                CommunicationType.Float32 => ScalarType.Float32,
                CommunicationType.BFloat16 => ScalarType.BFloat16,
                _ => options.Stage == 0 ? shard.Type : shard.GradientType,
            };
}
