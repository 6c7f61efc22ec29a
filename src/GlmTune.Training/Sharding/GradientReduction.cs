using GlmTune.Collectives;
using GlmTune.Kernels;
using GlmTune.Kernels.Definitions;
using GlmTune.Training.Optimization;
using static TorchSharp.torch;

namespace GlmTune.Training.Sharding;

/// <summary>Reduces the gradients collected by parameters into the slices of their owners, summed over all
/// ranks.</summary>
/// <remarks>Stage 0 sums whole gradients (all-reduce) and stage 1 leaves each rank its slice (reduce-scatter), both in
/// the last micro-batch of a step; stages 2 and 3 reduce-scatter in every micro-batch, so that no rank keeps more than
/// its slice. At most two calls run concurrently with the backward pass. Source: Rajbhandari et al., ZeRO,
/// arXiv:1910.02054, section 5. Sums in 16 bits are rounded stochastically, as many small gradients would be lost
/// otherwise.</remarks>
internal sealed class GradientReduction(ShardingOptions options, ICollectives? ranks, LayerKernels kernels)
    : IDisposable
{
    private const int MaxUnderWay = 2;
    private readonly Queue<(Pending Call, Tensor Sum, Addition? To)> underWay = new();
    private readonly Dictionary<FlatShard, (Tensor Sum, int Additions)> whole = [];

    /// <summary>Seed of the run.</summary>
    public long Seed { get; set; }

    /// <summary>Takes and clears the gradients of the shard's parameters.</summary>
    public void Add(FlatShard shard, bool lastOfStep, CallLabel label)
    {
        using var scope = NewDisposeScope();
        if (ranks is null or SingleRank || options.Stage == 0)
        {
            AddTo(shard.Gradient, shard.Layout, SeedOf(shard.Additions, label), isFirst: shard.Additions == 0);
            shard.Additions++;
            if (ranks is not (null or SingleRank) && lastOfStep)
            {
                AllReduce(shard, label);
            }
        }
        else if (options.Stage == 1 && (!lastOfStep || whole.ContainsKey(shard)))
        {
            if (!whole.TryGetValue(shard, out var found))
            {
                found.Sum = zeros(shard.PaddedCount, shard.Gradient.dtype, shard.Layout.Device)
                    .DetachFromDisposeScope();
            }

            var sum = found.Sum;
            AddTo(sum, shard.Layout, SeedOf(found.Additions, label), isFirst: found.Additions == 0);
            whole[shard] = (sum, found.Additions + 1);
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

    /// <summary>Forgets what micro-batches of an unfinished step have added.</summary>
    /// <remarks>Calls that still run are not waited for here, since other ranks may never answer them: then the run
    /// ends. Otherwise they are waited for later, and their results are not used.</remarks>
    public void Drop()
    {
        foreach (var (sum, _) in whole.Values)
        {
            sum.Dispose();
        }

        whole.Clear();
        for (var left = underWay.Count; left > 0; left--)
        {
            var (call, sum, to) = underWay.Dequeue();
            to?.Target.Dispose();
            underWay.Enqueue((call, sum, null));
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var (sum, _) in whole.Values)
        {
            sum.Dispose();
        }

        foreach (var call in underWay)
        {
            call.Sum.Dispose();
            call.To?.Target.Dispose();
        }
    }

    private void AddTo(Tensor sum, FlatLayout layout, long seed, bool isFirst)
    {
        foreach (var segment in layout.Segments)
        {
            if (segment.Parameter.Gradient is not { } gradient)
            {
                continue;
            }

            if (sum.dtype == ScalarType.BFloat16)
            {
                AddRounded(
                    sum.narrow(0, segment.Start, segment.Parameter.Count),
                    gradient.reshape(-1),
                    ShardUpdate.RoundingOf(segment.Parameter, seed, 0),
                    isFirst
                );
            }
            else
            {
                FlatLayout.View(sum, segment).AddInPlace(gradient);
            }
        }
    }

    private void AddRounded(Tensor sum, Tensor addend, in Rounding rounding, bool isFirst)
    {
        if (isFirst)
        {
            sum.copy_(addend);
        }
        else
        {
            kernels.Accumulate(sum, addend, rounding);
        }
    }

    private long SeedOf(int additions, CallLabel label) =>
        StepSeed.OfAddition(Seed, label.Step ?? 0, additions, ranks?.Rank ?? 0);

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
            if (wire == target.dtype)
            {
                Start(ranks!.AllReduceSum(target, label), target, null);
                continue;
            }

            var bucket = target.to_type(wire);
            Start(
                ranks!.AllReduceSum(bucket, label),
                bucket,
                new Addition(target.zero_(), shard.Layout, from, 0, IsFirst: true)
            );
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
            Start(
                ranks.ReduceScatterSum(bucket, mine, label),
                mine,
                new Addition(
                    shard.Gradient.narrow(0, from, count),
                    shard.Layout,
                    shard.Start + from,
                    SeedOf(shard.Additions, label),
                    IsFirst: shard.Additions == 0
                )
            );
        }

        shard.Additions++;
    }

    private void Start(Pending call, Tensor sum, Addition? to)
    {
        to?.Target.DetachFromDisposeScope();
        underWay.Enqueue((call, sum.alias().DetachFromDisposeScope(), to));
        while (underWay.Count > (options.OverlapCommunication ? MaxUnderWay : 0))
        {
            FinishOldest();
        }
    }

    private void FinishOldest()
    {
        var (call, sum, to) = underWay.Dequeue();
        call.Wait();
        if (to is { Target: { dtype: ScalarType.BFloat16 } rounded } addition)
        {
            using var scope = NewDisposeScope();
            var (layout, start, seed, isFirst) = (addition.Layout, addition.Start, addition.Seed, addition.IsFirst);
            foreach (var (parameter, inPiece, inParameter, count) in layout.Overlaps(start, rounded.shape[0]))
            {
                AddRounded(
                    rounded.narrow(0, inPiece, count),
                    sum.narrow(0, inPiece, count),
                    ShardUpdate.RoundingOf(parameter, seed, inParameter),
                    isFirst
                );
            }
        }
        else
        {
            to?.Target.AddInPlace(sum);
        }

        to?.Target.Dispose();
        sum.Dispose();
    }

    private ScalarType WireType(FlatShard shard) =>
        shard.Type == ScalarType.Float64
            ? ScalarType.Float64
            : options.Communication switch
            {
                CommunicationType.Float32 => ScalarType.Float32,
                CommunicationType.BFloat16 => ScalarType.BFloat16,
                _ => options.Stage == 0 ? shard.Gradient.dtype : shard.GradientType,
            };

    // Where a sum over the ranks is added: part of a flat run, from an element of the run on.
    private readonly record struct Addition(Tensor Target, FlatLayout Layout, long Start, long Seed, bool IsFirst);
}
