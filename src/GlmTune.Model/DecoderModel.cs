using GlmTune.Kernels;
using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Memory;
using GlmTune.Model.Adapters;
using GlmTune.Model.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Model;

/// <summary>The units of a model, as created by its family.</summary>
/// <param name="Embedding">Token embedding, on the first device.</param>
/// <param name="Layers">Decoder layers in order.</param>
/// <param name="Head">Final norm and output projection, on the last device.</param>
internal sealed record DecoderParts(TokenEmbedding Embedding, IReadOnlyList<DecoderLayer> Layers, OutputHead Head);

/// <summary>An embedding, decoder layers and an output head, on one device or, for inference, on several. It knows
/// nothing about ranks and optimizers.</summary>
/// <remarks>A pass processes N tokens of any number of concatenated sequences, without padding. Parameters have the
/// names of the original checkpoint layout, whatever layout was loaded. Not thread-safe.</remarks>
internal abstract partial class DecoderModel : ICausalLm, IDisposable
{
    private readonly RotaryEmbedding rotary;
    private readonly LayerKernels[] kernels;
    private readonly ModelVersion version = new();
    private readonly Dictionary<int, DenseWeights> dense = [];
    private int positionOffset;
    private ServedAdapters? served;

    /// <summary>Creates a model from the units of a family; its weights are not in memory yet.</summary>
    /// <param name="config">The architecture.</param>
    /// <param name="type">Type that layers compute in.</param>
    /// <param name="plan">Device of each layer; several devices are for inference only.</param>
    /// <param name="plain">Whether to use plain operators only, without fused kernels.</param>
    /// <param name="names">Names of the weights in checkpoints.</param>
    /// <param name="make">Creates the units, each on its device.</param>
    /// <exception cref="ArgumentException">The plan has another number of layers.</exception>
    protected DecoderModel(
        ModelConfig config,
        ScalarType type,
        DevicePlan plan,
        bool plain,
        WeightNames names,
        Func<DecoderParts> make
    )
    {
        if (plan.LayerCount != config.LayerCount)
        {
            throw new ArgumentException(
                $"The plan places {plan.LayerCount} layers; the model has {config.LayerCount}.",
                nameof(plan)
            );
        }

        (Config, Type, Plan, Device, Names) = (config, type, plan, plan.Devices[0], names);
        kernels = [.. plan.Devices.Select(device => LayerKernels.For(device, plain))];
        rotary = new RotaryEmbedding(config.Heads.RotaryDim, config.RotaryBase);
        (Embedding, Layers, Head) = make();
        BaseParameters = [.. Units.SelectMany(unit => unit.Parameters).Distinct()];
        foreach (var parameter in BaseParameters)
        {
            parameter.Version = version;
        }
    }

    /// <inheritdoc/>
    public ModelConfig Config { get; }

    /// <summary>Type that layers compute in.</summary>
    public ScalarType Type { get; }

    /// <inheritdoc/>
    public Device Device { get; }

    /// <summary>Device of each layer.</summary>
    public DevicePlan Plan { get; }

    /// <summary>Layer functions of the device; of several devices, those of the first.</summary>
    public LayerKernels Kernels => kernels[0];

    /// <summary>Token embedding.</summary>
    public TokenEmbedding Embedding { get; }

    /// <summary>Decoder layers in order.</summary>
    public IReadOnlyList<DecoderLayer> Layers { get; }

    /// <summary>Final norm and output projection.</summary>
    public OutputHead Head { get; }

    /// <summary>Names of the weights in checkpoints.</summary>
    public WeightNames Names { get; }

    /// <summary>Most tokens that a feed-forward block processes at a time in a pass of many:
    /// <see cref="LayerContext.TileTokens"/>.</summary>
    public int TileTokens { get; set; } = LayerContext.DefaultTileTokens;

    /// <summary>Incremented with every change that invalidates captured passes: of the addresses of weights, the
    /// attached adapters, and the positions of tokens. In-place changes of values do not count.</summary>
    public long Version => version.Value;

    /// <summary>Computes the prefixes of all layers; null: there is no prefix projection.</summary>
    public PrefixEncoder? PrefixEncoder { get; set; }

    /// <summary>Prefix encoder if there is one, embedding, decoder layers, head: the units of sharding, in the order of
    /// the forward pass.</summary>
    public IEnumerable<Layer> Units =>
        PrefixEncoder is null ? [Embedding, .. Layers, Head] : [PrefixEncoder, Embedding, .. Layers, Head];

    /// <summary>The model's own parameters, without adapters, in the order of the forward pass.</summary>
    public IReadOnlyList<Parameter> BaseParameters { get; }

    /// <summary>Base and adapter parameters.</summary>
    public IEnumerable<Parameter> Parameters => Units.SelectMany(unit => unit.Parameters);

    /// <summary>Records that served adapters have changed.</summary>
    internal void NoteChange() => version.Bump();

    /// <summary>Added to every position: the number of virtual tokens if a prefix was trained by the library layout's
    /// rule, otherwise 0.</summary>
    public int PositionOffset
    {
        get => positionOffset;
        set
        {
            positionOffset = value;
            version.Bump();
        }
    }

    /// <inheritdoc/>
    public int VirtualTokens => (int)(Layers[0].Attention.Prefix?.Shape[1] ?? 0);

    /// <summary>The adapters served side by side; null: none.</summary>
    public ServedAdapters? Served
    {
        get => served;
        internal set
        {
            served = value;
            version.Bump();
        }
    }

    /// <inheritdoc/>
    public IReadOnlyList<ServedAdapter> Adapters => Served?.All ?? [];

    /// <inheritdoc/>
    public int? MaxAdaptersOfPass => Served?.Most;

    /// <inheritdoc/>
    public int MaxVirtualTokens => Math.Max(VirtualTokens, Served?.MaxVirtualTokens ?? 0);

    /// <summary>Weights that may be quantized: those of the linear layers in decoder layers.</summary>
    public IEnumerable<Parameter> QuantizableWeights =>
        Layers.SelectMany(layer => layer.Linears).Select(linear => linear.Weight);

    /// <summary>Initializes every base weight at random: matrices normal with standard deviation 0.02, norms one,
    /// biases zero.</summary>
    /// <param name="seed">Seed; results also depend on the kind of device.</param>
    /// <param name="made">Called with each unit when its weights are in memory; it may release them.</param>
    /// <param name="quantization">How the <see cref="QuantizableWeights"/> are stored as they are made; null: as the
    /// others.</param>
    public void InitializeRandomly(long seed, Action<Layer>? made = null, Quantization? quantization = null)
    {
        // The tensor library has generators for the CPU only; a GPU has its own, which a seed sets.
        using var generator = Device.type == TorchSharp.DeviceType.CPU ? new Generator((ulong)seed, Device) : null;
        if (generator is null)
        {
            // torch.manual_seed affects only the CPU here.
            cuda.manual_seed_all(seed);
        }

        var own = BaseParameters.ToHashSet();
        foreach (var unit in Units)
        {
            foreach (var parameter in unit.Parameters.Where(own.Contains))
            {
                using var scope = NewDisposeScope();
                var value = empty(parameter.Shape, Type, parameter.Device);
                parameter.Value =
                    parameter.Shape.Length == 2
                        ? (generator is null ? value.normal_(0, 0.02) : value.normal_(0, 0.02, generator))
                    : parameter.Name.EndsWith(".bias", StringComparison.Ordinal) ? value.zero_()
                    : value.FillInPlace(1);
                if (quantization is { } wanted)
                {
                    Quantize(unit, parameter, wanted);
                }
            }

            made?.Invoke(unit);
        }
    }

    /// <summary>Quantizes a weight if it is one of <see cref="QuantizableWeights"/>.</summary>
    /// <param name="unit">The unit that it belongs to.</param>
    /// <param name="parameter">The weight; its values are in memory.</param>
    /// <param name="quantization">How it is stored.</param>
    internal void Quantize(Layer unit, Parameter parameter, Quantization quantization)
    {
        if (DenseFor(unit, parameter) is { } buffers)
        {
            parameter.Quantize(quantization.Type, quantization.Backward, buffers);
        }
    }

    /// <summary>Sets the values of one of <see cref="QuantizableWeights"/>.</summary>
    /// <param name="unit">The unit that it belongs to.</param>
    /// <param name="parameter">The weight.</param>
    /// <param name="matrix">Its values; then owned by it.</param>
    /// <returns>False if it is not one of these; the matrix is not owned then.</returns>
    internal bool SetQuantized(Layer unit, Parameter parameter, FrozenMatrix matrix)
    {
        if (DenseFor(unit, parameter) is not { } buffers)
        {
            return false;
        }

        parameter.SetQuantized(matrix, buffers);
        return true;
    }

    // Where a weight is dequantized to; null: it is not one of those that may be quantized.
    private DenseWeights? DenseFor(Layer unit, Parameter parameter)
    {
        if (unit is not DecoderLayer layer || layer.Linears.All(linear => linear.Weight != parameter))
        {
            return null;
        }

        var stage = PipelineStageOf(layer);
        if (!dense.TryGetValue(stage, out var buffers))
        {
            dense[stage] = buffers = new DenseWeights(kernels[stage], Type, Plan.Devices[stage]);
        }

        return buffers;
    }

    /// <summary>The context shared by the layers of a pass; the caller disposes it.</summary>
    /// <param name="sequences">Which tokens belong to which sequence; remains owned by the caller.</param>
    /// <param name="dropoutSeed">Seed of the dropout masks; null: no dropout.</param>
    /// <param name="cache">For a pass over a cache; remains owned by the caller.</param>
    /// <param name="adapters">Adapter of each sequence; null: the base model for all.</param>
    /// <param name="rows">Adapter of each token, if low-rank adapters are used; remains owned by the caller.</param>
    /// <param name="run">The tokens of <paramref name="sequences"/> in this pass; null: all.</param>
    /// <param name="exchange">Required if the pass does not contain all tokens.</param>
    public LayerContext Context(
        SequenceLayout sequences,
        long? dropoutSeed = null,
        CacheStep? cache = null,
        IReadOnlyList<ServedAdapter?>? adapters = null,
        MixedRows? rows = null,
        Range? run = null,
        AttentionExchange? exchange = null
    )
    {
        var positions = sequences.Positions();
        for (var i = 0; i < sequences.Count; i++)
        {
            var adapter = adapters?[i];
            if (adapter is { VirtualTokens: > 0 } && cache is null)
            {
                throw new InvalidOperationException(
                    $"The adapter '{adapter.Name}' has a prefix, which stands in a cache; this pass has none."
                );
            }

            var virtualTokens = adapter?.VirtualTokens ?? VirtualTokens;
            var first =
                (adapter?.FirstPosition ?? PositionOffset) + (cache is null ? 0 : cache.Before[i] - virtualTokens);
            for (var t = sequences.Starts[i]; t < sequences.Starts[i + 1]; t++)
            {
                positions[t] += first;
            }
        }

        var (cosine, sine) = rotary.Angles(run is { } held ? positions[held] : positions, Type, Device);
        return new LayerContext(cosine, sine)
        {
            Kernels = Kernels,
            Sequences = sequences,
            DropoutSeed = dropoutSeed,
            Cache = cache,
            Exchange = exchange,
            Adapters = rows,
            TileTokens = TileTokens,
        };
    }

    /// <summary>Cosines and sines of the first positions of a sequence, each [count, rotaryDim / 2]; the caller
    /// disposes them.</summary>
    public (Tensor Cosine, Tensor Sine) Angles(int count) =>
        rotary.Angles([.. Enumerable.Range(PositionOffset, count)], Type, Device);

    /// <summary>Dropout sites: see <see cref="LayerContext.SeedOf(int)"/>. The output head, which is
    /// the last, has one for each part of the targets.</summary>
    /// <param name="targets">The targets of a pass.</param>
    public int DropoutSites(int targets) =>
        Head.Projection.DropoutSite + Math.Max(1, (targets + Head.ChunkRows - 1) / Head.ChunkRows);

    /// <summary>The stage of the plan that a unit belongs to.</summary>
    /// <param name="unit">One of the <see cref="Units"/>.</param>
    internal int PipelineStageOf(Layer unit) =>
        unit is DecoderLayer layer ? Plan.PipelineStageOf(layer.Number)
        : unit == Head ? Plan.Devices.Count - 1
        : 0;

    /// <inheritdoc/>
    public KvCache NewCache(int blocks, int slots, int capacity) =>
        new(
            [.. Layers.Select(layer => Plan.DeviceOf(layer.Number))],
            blocks,
            slots,
            capacity,
            Config.KeyValueHeads,
            Config.HeadDim,
            Type
        );

    /// <inheritdoc cref="ICausalLm.NewCache(int, int)"/>
    public KvCache NewCache(int slots, int capacity) => ((ICausalLm)this).NewCache(slots, capacity);

    /// <inheritdoc/>
    public void WritePrefix(KvCache cache, IReadOnlyList<int> blocks, ServedAdapter? adapter)
    {
        foreach (var layer in Layers)
        {
            var prefix = adapter is null
                ? layer.Attention.Prefix?.Value
                : adapter.Prefixes.ElementAtOrDefault(layer.Number);
            if (prefix is not null)
            {
                cache.WriteStart(layer.Number, blocks, prefix);
            }
        }
    }

    /// <inheritdoc/>
    public long CachedTokenBytes => 2L * Config.LayerCount * Config.Heads.KeyValueWidth * Type.ElementSize();

    /// <inheritdoc/>
    public IDecoder? NewDecoder(KvCache cache, int vocabularySize) =>
        CachedDecoder.CanDecode(this) ? new CachedDecoder(this, cache, vocabularySize) : null;

    /// <summary>Cosines and sines of positions 0 to <paramref name="count"/>, each [count, rotaryDim / 2]; in the
    /// caller's dispose scope.</summary>
    public (Tensor Cosine, Tensor Sine) AngleTable(int count) =>
        rotary.Angles([.. Enumerable.Range(0, count)], Type, Device);

    /// <summary>Token ids in the form that layers take: int64 [N] on the device.</summary>
    public Tensor Ids(int[] tokenIds) => HostValues.ToDevice(Array.ConvertAll(tokenIds, id => (long)id), Device);

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var unit in Units)
        {
            unit.Dispose();
        }

        foreach (var buffers in dense.Values)
        {
            buffers.Dispose();
        }

        dense.Clear();
        GC.SuppressFinalize(this);
    }
}
