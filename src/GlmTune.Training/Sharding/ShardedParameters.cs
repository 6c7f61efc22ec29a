using GlmTune.Collectives;
using GlmTune.Model;
using GlmTune.Model.Layers;
using GlmTune.Training.Optimization;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Training.Sharding;

/// <summary>ZeRO-3: the model's own weights are also sharded, and gathered unit by unit (embedding, decoder layer,
/// head) while they are used.</summary>
/// <remarks>A unit's weights are gathered into flat buffers, whose views become the parameters' values. The next units
/// of the announced pass are gathered ahead, at least one if allowed, while the number of live elements stays within
/// its limit. A used unit stays in memory if its next use is near enough. Tapes hold activations and never weights, so
/// a kept layer costs no gathered weights. Adapters, prefixes and small vectors are whole on every rank; their
/// optimizer state is also sharded. Trained weights are stored only as float32 masters, and cast when they are
/// gathered. Source: Rajbhandari et al., ZeRO, arXiv:1910.02054, section 5.3; ZeRO-Infinity, arXiv:2104.07857, section
/// 5.</remarks>
internal sealed class ShardedParameters : ISharding
{
    private readonly ShardingOptions options;
    private readonly RankSums sums;
    private readonly TrainedShards trained;
    private readonly WeightSlices slices;
    private readonly Dictionary<Layer, GatheredUnit> units = [];
    private readonly HashSet<FlatShard> sliced = [];
    private IReadOnlyList<Layer> uses = [];
    private int next;
    private readonly int bytesOfElement;
    private bool lastOfStep = true;

    /// <param name="options">Stage 3, with limits, offloading and so on.</param>
    /// <param name="model">The model, with adapters attached and trained parameters marked; the same on each rank.
    /// Units that are not in <paramref name="slices"/> are in memory.</param>
    /// <param name="ranks">The ranks; a world of one takes the same path.</param>
    /// <param name="slices">The slices taken while the model was loaded; they then belong to this object, which
    /// disposes them even if its construction fails. Null: they are taken now.</param>
    /// <exception cref="ArgumentException">Only some of a unit's weights are trained.</exception>
    public ShardedParameters(
        ShardingOptions options,
        DecoderModel model,
        ICollectives ranks,
        WeightSlices? slices = null
    )
    {
        this.options = options;
        this.slices = slices ?? new WeightSlices(options, ranks);
        sums = new RankSums(ranks);
        var weights = model.BaseParameters.ToHashSet();
        trained = new TrainedShards(options, ranks, weights, model.Kernels);
        try
        {
            foreach (var unit in model.Units)
            {
                this.slices.Take(unit, [.. unit.Parameters.Where(weights.Contains)]);
                Add(unit);
            }

            HostOptimizer = trained.MakeHostOptimizer();
            StreamedOptimizer = trained.MakeStreamedOptimizer();
        }
        catch
        {
            Dispose();
            throw;
        }

        bytesOfElement = model.Type.ElementSize();

        void Add(Layer unit)
        {
            var own = this.slices.Of(unit);
            var taken = own.SelectMany(slice => slice.Layout.Segments).Select(segment => segment.Parameter).ToHashSet();
            var shards = new List<FlatShard>();
            try
            {
                foreach (var slice in own)
                {
                    var parameters = slice.Layout.Segments.Select(segment => segment.Parameter).ToList();
                    if (parameters.TrueForAll(parameter => parameter.Trainable))
                    {
                        var shard = slice.Train(trained.StorageOf(slice.Layout, slice.Decays));
                        shards.Add(shard);
                        sliced.Add(shard);
                    }
                    else if (parameters.Exists(parameter => parameter.Trainable))
                    {
                        throw new ArgumentException(
                            $"{unit.Name}: under ZeRO-3, either all or none of its weights of a kind must be "
                                + "trained.",
                            nameof(model)
                        );
                    }
                }

                shards.AddRange(trained.Make(unit, unit.Parameters.Where(parameter => !taken.Contains(parameter))));
            }
            catch
            {
                shards.ForEach(shard => shard.Dispose());
                throw;
            }
            // In the same order as with whole weights, so that norms are summed in the same order and have the same
            // bits.
            var order = unit.Parameters.ToList();
            shards.OrderBy(shard => order.IndexOf(shard.Segments[0].Parameter)).ToList().ForEach(trained.Add);
            if (own.Count > 0)
            {
                units.Add(unit, new GatheredUnit(unit, own, ranks));
            }
        }
    }

    /// <inheritdoc/>
    public int Stage => 3;

    /// <inheritdoc/>
    public long? CurrentStep { get; set; }

    /// <inheritdoc/>
    public IReadOnlyList<FlatShard> Trainable => trained.Shards;

    /// <inheritdoc/>
    public long PassingBytes
    {
        get
        {
            var sizes = units.Values.Select(unit => unit.Elements).OrderDescending().ToList();
            var live = Math.Max(sizes.Take(2).Sum(), Math.Min(sizes.Sum(), options.MaxLiveElements));
            return trained.PassingBytes + (live * bytesOfElement);
        }
    }

    /// <inheritdoc/>
    public HostAdamW? HostOptimizer { get; }

    /// <inheritdoc/>
    public StreamedAdamW? StreamedOptimizer { get; }

    /// <inheritdoc/>
    public long Seed
    {
        get => trained.Seed;
        set => trained.Seed = value;
    }

    /// <inheritdoc/>
    public bool UpdatesByLayer => options.UpdatesByLayer;

    /// <inheritdoc/>
    public IReadOnlyList<FlatShard> ShardsOf(Layer layer) => trained.Of(layer);

    /// <summary>Number of weight elements that are gathered or being gathered.</summary>
    public long LiveElements { get; private set; }

    /// <summary>Maximum of <see cref="LiveElements"/> so far.</summary>
    public long PeakLiveElements { get; private set; }

    /// <inheritdoc/>
    public void BeginPass(IReadOnlyList<Layer> uses, bool lastOfStep)
    {
        ReleaseAll();
        (this.uses, next, this.lastOfStep) = (uses, 0, lastOfStep);
    }

    /// <inheritdoc/>
    public void Unshard(Layer layer)
    {
        if (next < uses.Count && ReferenceEquals(uses[next], layer))
        {
            next++;
        }

        foreach (var unit in Gathered(layer))
        {
            Start(unit);
            unit.Finish(Label(layer));
        }

        Prefetch();
    }

    /// <inheritdoc/>
    public void Reshard(Layer layer)
    {
        foreach (var unit in Gathered(layer).Where(unit => !IsReusedSoon(unit.Layer)))
        {
            Release(unit);
        }
    }

    /// <inheritdoc/>
    public void ReduceGradients(Layer layer) => trained.ReduceGradients(layer, lastOfStep, CurrentStep);

    /// <inheritdoc/>
    public void FinishGradients() => trained.FinishGradients();

    /// <inheritdoc/>
    public void DropGradients()
    {
        StreamedOptimizer?.Drop();
        HostOptimizer?.Drop();
        trained.DropGradients();
    }

    /// <inheritdoc/>
    public void ShareUpdates()
    {
        ReleaseAll();
        trained.ShareUpdates(CurrentStep, shard => !sliced.Contains(shard));
    }

    /// <inheritdoc/>
    public void GatherValues(Layer layer, Action<Parameter, Tensor> use, bool trainedOnly = false)
    {
        BeginPass([], lastOfStep: true);
        using var scope = NewDisposeScope();
        var masters = trained.GatherMasters(layer);
        var frozen = !trainedOnly && units.TryGetValue(layer, out var unit) && unit.HasFrozen;
        if (frozen)
        {
            Unshard(layer);
        }

        foreach (
            var parameter in layer.Parameters.Where(parameter =>
                parameter.Quantized is null && (parameter.Trainable || !trainedOnly)
            )
        )
        {
            use(parameter, masters.GetValueOrDefault(parameter) ?? parameter.Value);
        }

        if (frozen)
        {
            Reshard(layer);
        }
    }

    /// <inheritdoc/>
    public double Sum(double value) => sums.Of(value, CurrentStep);

    /// <inheritdoc/>
    public void Sum(Tensor buffer) => sums.InPlace(buffer, CurrentStep);

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var unit in units.Values)
        {
            unit.Dispose();
        }

        HostOptimizer?.Dispose();
        StreamedOptimizer?.Dispose();
        trained.Dispose();
        slices.Dispose();
    }

    private IEnumerable<GatheredUnit> Gathered(Layer layer) =>
        layer.Uses.Select(used => units.GetValueOrDefault(used)).OfType<GatheredUnit>();

    private CallLabel Label(Layer layer) => new(CurrentStep, layer.Name);

    private void Start(GatheredUnit unit)
    {
        if (unit.IsLive)
        {
            return;
        }

        unit.Start(Label(unit.Layer));
        LiveElements += unit.Elements;
        PeakLiveElements = Math.Max(PeakLiveElements, LiveElements);
    }

    private void Release(GatheredUnit unit)
    {
        if (unit.IsLive)
        {
            unit.Release(Label(unit.Layer));
            LiveElements -= unit.Elements;
        }
    }

    private void ReleaseAll()
    {
        foreach (var unit in units.Values)
        {
            Release(unit);
        }
    }

    // A unit is gathered whole, so the first one ahead may have more elements than the prefetch limit.
    private void Prefetch()
    {
        if (!options.OverlapCommunication || options.PrefetchElements == 0)
        {
            return;
        }

        var ahead = 0L;
        for (var i = next; i < uses.Count; i++)
        {
            foreach (var unit in Gathered(uses[i]))
            {
                ahead += unit.Elements;
                if (!unit.IsLive && LiveElements + unit.Elements > options.MaxLiveElements)
                {
                    return;
                }

                Start(unit);
                if (ahead >= options.PrefetchElements)
                {
                    return;
                }
            }
        }
    }

    // Counted as the elements used until then, as far as the pass was announced.
    private bool IsReusedSoon(Layer layer)
    {
        var distance = 0L;
        for (var i = next; i < uses.Count && distance <= options.MaxReuseDistance; i++)
        {
            if (uses[i].Uses.Contains(layer))
            {
                return LiveElements <= options.MaxLiveElements;
            }

            distance += Gathered(uses[i]).Sum(unit => unit.Elements);
        }

        return false;
    }
}
