using GlmTune.Collectives;
using GlmTune.Kernels.Definitions;
using GlmTune.Model.Layers;
using GlmTune.Training.Optimization;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Training.Sharding;

/// <summary>The shards of parameters whose values are whole on every rank: determines what is trained, and copies
/// updates back.</summary>
/// <param name="options">ZeRO stage, bucket sizes, and where optimizer state is stored.</param>
/// <param name="ranks">The ranks; null: a single rank.</param>
/// <param name="weights">The model's own parameters: gradients of their matrices are in the layers' type, all others in
/// float32. Null: none.</param>
/// <param name="kernels">Layer functions of the device; null: plain operators.</param>
internal sealed class TrainedShards(
    ShardingOptions options,
    ICollectives? ranks,
    IReadOnlySet<Parameter>? weights = null,
    LayerKernels? kernels = null
) : IDisposable
{
    private readonly Dictionary<Layer, List<FlatShard>> byLayer = [];
    private readonly List<FlatShard> shards = [];
    private readonly GradientReduction reduction = new(options, ranks, kernels ?? new PlainKernels());

    /// <summary>All shards, in the order in which they were added.</summary>
    public IReadOnlyList<FlatShard> Shards => shards;

    private (int Rank, int Size) Owners => options.Stage == 0 || ranks is null ? (0, 1) : (ranks.Rank, ranks.WorldSize);

    /// <summary>Adds shards for the trained parameters of a layer, grouped by weight decay and type.</summary>
    public void Add(Layer layer, IEnumerable<Parameter> parameters)
    {
        foreach (var shard in Make(layer, parameters))
        {
            Add(shard);
        }
    }

    /// <summary>Creates the same shards without adding them.</summary>
    public IEnumerable<FlatShard> Make(Layer layer, IEnumerable<Parameter> parameters)
    {
        foreach (
            var group in parameters
                .Where(parameter => parameter.Trainable)
                .GroupBy(parameter => (parameter.Decays, parameter.Type, Single: StaysAlone(parameter)))
        )
        {
            var layout = new FlatLayout(
                layer,
                [.. group],
                Owners.Rank,
                Owners.Size,
                AlignmentOf(options, group.Key.Decays)
            );
            yield return new FlatShard(layout, group.Key.Decays, StorageOf(layout, group.Key.Decays));
        }
    }

    // A weight without master copy that nobody shares is updated where it is. Joining it with others would move it, and
    // leave the allocator with gaps that nothing of the same size fills.
    private Parameter? StaysAlone(Parameter parameter) =>
        Owners.Size == 1
        && !options.State.MasterWeights
        && parameter.Decays
        && weights is not null
        && weights.Contains(parameter)
            ? parameter
            : null;

    /// <summary>What slices are a multiple of: blocks of codes, where there are any.</summary>
    public static int AlignmentOf(ShardingOptions options, bool decays) =>
        decays && options.State.Moments == StateType.Int8 ? BlockCodes.BlockSize : FlatLayout.Alignment;

    /// <summary>Types and places of the state of such parameters.</summary>
    public ShardStorage StorageOf(FlatLayout layout, bool decays)
    {
        var areWeights =
            decays && weights is not null && layout.Segments.All(segment => weights.Contains(segment.Parameter));
        return new ShardStorage
        {
            Moments = decays ? options.State.Moments : StateType.Float32,
            OnlyCopy = areWeights && !options.State.MasterWeights && layout.Type != ScalarType.Float64,
            GradientType = areWeights ? layout.Type : null,
            OnHost = options.OffloadOptimizer,
            Pinned = options is { OffloadOptimizer: true, State.IsFull: false, PinMemory: true },
            GradientComesAndGoes = options.UpdatesByLayer,
        };
    }

    /// <summary>Adds a shard created elsewhere; it is disposed with the others.</summary>
    public void Add(FlatShard shard)
    {
        shards.Add(shard);
        if (!byLayer.TryGetValue(shard.Layer, out var list))
        {
            byLayer.Add(shard.Layer, list = []);
        }

        list.Add(shard);
    }

    /// <summary>Bytes of the largest layer's gradients before they are reduced, and of the bucket used for
    /// it.</summary>
    /// <remarks>The embedding does not count: when its gradients arrive, no layer's activations are in
    /// memory.</remarks>
    public long PassingBytes =>
        byLayer
            .Where(entry => entry.Key is not TokenEmbedding)
            .Select(entry =>
                entry.Value.Sum(shard =>
                {
                    var size = shard.GradientType.ElementSize();
                    var bucket =
                        ranks is null || options.Stage == 0
                            ? 0
                            : Math.Min(shard.PaddedCount, options.ReduceBucketElements) * size;
                    // A gradient, the product that is added to it, and the bucket.
                    return (2 * shard.PaddedCount * size) + bucket;
                })
            )
            .DefaultIfEmpty()
            .Max();

    /// <summary>Updates the shards on the host, where their state is; null: they are updated on the device.</summary>
    public HostAdamW? MakeHostOptimizer() =>
        options is { OffloadOptimizer: true, State.IsFull: true } && shards.Count > 0
            ? new HostAdamW(shards[0].Layout.Device, options.PinMemory, options.SubGroupElements)
            : null;

    /// <summary>Updates shards on the device whose state is on the host; null: there are none.</summary>
    public StreamedAdamW? MakeStreamedOptimizer() =>
        !options.State.IsFull
        && (options.OffloadOptimizer || (options.OffloadParameters && !options.State.MasterWeights))
        && shards.Count > 0
            ? new StreamedAdamW(kernels ?? new PlainKernels(), shards[0].Layout.Device)
            : null;

    /// <summary>As <see cref="ISharding.Seed"/>.</summary>
    public long Seed
    {
        get => reduction.Seed;
        set => reduction.Seed = value;
    }

    /// <summary>As <see cref="ISharding.ReduceGradients"/>.</summary>
    public void ReduceGradients(Layer layer, bool lastOfStep, long? step)
    {
        foreach (var shard in Of(layer))
        {
            reduction.Add(shard, lastOfStep, new CallLabel(step, layer.Name));
        }
    }

    /// <summary>As <see cref="ISharding.FinishGradients"/>.</summary>
    public void FinishGradients() => reduction.Finish();

    /// <summary>As <see cref="ISharding.DropGradients"/>.</summary>
    public void DropGradients()
    {
        reduction.Drop();
        foreach (var shard in shards)
        {
            shard.ClearGradient(release: options.UpdatesByLayer);
        }
    }

    /// <summary>Copies the master weights back to the parameters; those of other ranks are gathered in the parameters'
    /// type.</summary>
    /// <param name="step">Step number for labels.</param>
    /// <param name="chosen">The shards to copy; null: all.</param>
    public void ShareUpdates(long? step, Func<FlatShard, bool>? chosen = null)
    {
        // One gather ahead, so that copying one bucket overlaps with sending the next.
        var underWay = new Queue<(FlatShard Shard, Pending Call, Tensor Bucket, long From, long Count)>();
        foreach (var shard in shards.Where(shard => chosen?.Invoke(shard) ?? true))
        {
            if (shard is { HoldsParameters: true, WorldSize: 1 })
            {
                continue;
            }

            if (shard.WorldSize == 1 && ranks is null or { WorldSize: > 1 })
            {
                CopyBack(shard);
                continue;
            }

            var most = Math.Max(FlatLayout.Alignment, options.AllGatherBucketElements / shard.WorldSize);
            for (long from = 0; from < shard.Length; from += most)
            {
                using var scope = NewDisposeScope();
                var count = Math.Min(most, shard.Length - from);
                var bucket = empty(count * shard.WorldSize, shard.Layout.Type, shard.Layout.Device);
                var mine = bucket
                    .narrow(0, shard.Layout.Rank * count, count)
                    .copy_(shard.Current.narrow(0, from, count));
                underWay.Enqueue(
                    (
                        shard,
                        ranks!.AllGather(mine, bucket, new CallLabel(step, shard.Layer.Name)),
                        bucket.DetachFromDisposeScope(),
                        from,
                        count
                    )
                );
                if (underWay.Count > (options.OverlapCommunication ? 1 : 0))
                {
                    Scatter(underWay.Dequeue());
                }
            }
        }

        while (underWay.TryDequeue(out var last))
        {
            Scatter(last);
        }
    }

    /// <summary>Full-precision values of a layer's shards, by parameter; in the caller's dispose scope.</summary>
    public Dictionary<Parameter, Tensor> GatherMasters(Layer layer)
    {
        var values = new Dictionary<Parameter, Tensor>();
        foreach (var shard in Of(layer))
        {
            var flat = shard.Master;
            if (shard.WorldSize > 1)
            {
                flat = empty(shard.PaddedCount, shard.Master.dtype, shard.Layout.Device);
                ranks!.AllGather(shard.Master.to(shard.Layout.Device), flat, new CallLabel(null, layer.Name)).Wait();
            }

            foreach (var segment in shard.Segments)
            {
                values.Add(segment.Parameter, FlatLayout.View(flat, segment));
            }
        }

        return values;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        reduction.Dispose();
        shards.ForEach(shard => shard.Dispose());
    }

    /// <summary>The shards of a layer, in order.</summary>
    public List<FlatShard> Of(Layer layer) => byLayer.GetValueOrDefault(layer) ?? [];

    private static void CopyBack(FlatShard shard)
    {
        using var scope = NewDisposeScope();
        foreach (var segment in shard.Segments)
        {
            segment.Parameter.Value.copy_(FlatLayout.View(shard.Current, segment));
        }
    }

    private static void Scatter((FlatShard Shard, Pending Call, Tensor Bucket, long From, long Count) gathered)
    {
        var (shard, call, bucket, from, count) = gathered;
        using var scope = NewDisposeScope();
        call.Wait();
        for (var rank = 0; rank < shard.WorldSize; rank++)
        {
            foreach (
                var (parameter, inPiece, inParameter, length) in shard.Layout.Overlaps(
                    (rank * shard.Length) + from,
                    count
                )
            )
            {
                var piece = bucket.narrow(0, (rank * count) + inPiece, length);
                if (length == parameter.Count)
                {
                    parameter.Value.copy_(piece.view(parameter.Shape));
                }
                else
                {
                    CopyPart(parameter, inParameter, piece);
                }
            }
        }

        bucket.Dispose();
    }

    // An adapter's values may be a strided view, of which a flat part is not a view: then row by row along its first
    // axis.
    private static void CopyPart(Parameter parameter, long start, Tensor piece)
    {
        if (parameter.Value.is_contiguous())
        {
            parameter.Value.view(-1).narrow(0, start, piece.shape[0]).copy_(piece);
            return;
        }

        var flat = parameter.Value.reshape(-1);
        flat.narrow(0, start, piece.shape[0]).copy_(piece);
        parameter.Value.copy_(flat.view(parameter.Shape));
    }
}
