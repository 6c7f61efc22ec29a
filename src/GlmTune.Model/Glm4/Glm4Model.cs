using GlmTune.Kernels;
using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Memory;
using GlmTune.Model.Adapters;
using GlmTune.Model.Layers;
using static TorchSharp.torch;

namespace GlmTune.Model.Glm4;

/// <summary>GLM-4: an embedding, decoder layers and an output head, for one device, or spread over several for
/// inference; ranks and optimizers are not its business.</summary>
/// <remarks>
/// A pass works on N tokens of any number of sequences laid back to back, without padding. Parameters carry the names
/// of the original checkpoint layout whatever layout was loaded. Not thread-safe. </remarks>
public sealed class Glm4Model : ICausalLm, IDisposable
{
    private readonly RotaryEmbedding rotary;
    private readonly LayerKernels[] kernels;

    /// <summary>Lays out the layers on one device; weights are not in memory yet.</summary>
    /// <param name="config">The architecture.</param>
    /// <param name="type">Type that layers compute in.</param>
    /// <param name="device">Where it lives.</param>
    /// <param name="plain">Plain operators only, no fused kernels.</param>
    public Glm4Model(Glm4Config config, ScalarType type, Device device, bool plain = false)
        : this(config, type, new DevicePlan((device, config.LayerCount)), plain) { }

    /// <summary>Lays out the layers, each on its device; weights are not in memory yet. Over several devices, for
    /// inference only.</summary>
    /// <param name="config">The architecture.</param>
    /// <param name="type">Type that layers compute in.</param>
    /// <param name="plan">Where each layer lives.</param>
    /// <param name="plain">Plain operators only, no fused kernels.</param>
    /// <exception cref="ArgumentException">The plan is for another number of layers.</exception>
    public Glm4Model(Glm4Config config, ScalarType type, DevicePlan plan, bool plain = false)
    {
        if (plan.LayerCount != config.LayerCount)
        {
            throw new ArgumentException(
                $"The plan places {plan.LayerCount} layers; the model has {config.LayerCount}.",
                nameof(plan)
            );
        }

        (Config, Type, Plan, Device) = (config, type, plan, plan.Devices[0]);
        kernels = [.. plan.Devices.Select(device => LayerKernels.For(device, plain))];
        rotary = new RotaryEmbedding(config.Heads.RotaryDim, config.RotaryBase);
        Embedding = new TokenEmbedding(
            Matrix("transformer.embedding.word_embeddings.weight", config.VocabularySize, config.HiddenSize, Device)
        );
        Layers = [.. Enumerable.Range(0, config.LayerCount).Select(MakeLayer)];
        Head = new OutputHead(
            Vector("transformer.encoder.final_layernorm.weight", config.HiddenSize, plan.Devices[^1]),
            new Linear(
                Matrix("transformer.output_layer.weight", config.VocabularySize, config.HiddenSize, plan.Devices[^1]),
                null,
                config.LayerCount * 4
            ),
            config.NormEpsilon
        );
        BaseParameters = [.. Units.SelectMany(unit => unit.Parameters)];
    }

    /// <inheritdoc/>
    public Glm4Config Config { get; }

    /// <summary>Type that layers compute in.</summary>
    public ScalarType Type { get; }

    /// <inheritdoc/>
    public Device Device { get; }

    /// <summary>Where each layer lives.</summary>
    public DevicePlan Plan { get; }

    /// <summary>Layer functions of the device; of several, the first one's.</summary>
    public LayerKernels Kernels => kernels[0];

    /// <summary>Token embedding.</summary>
    public TokenEmbedding Embedding { get; }

    /// <summary>Decoder layers, first to last.</summary>
    public IReadOnlyList<Glm4DecoderLayer> Layers { get; }

    /// <summary>Final norm and output projection.</summary>
    public OutputHead Head { get; }

    /// <summary>Makes the prefixes of all layers; null: nothing does.</summary>
    public PrefixEncoder? PrefixEncoder { get; set; }

    /// <summary>Prefix encoder if there is one, embedding, decoder layers, head: the units of sharding, in the order of
    /// the forward pass.</summary>
    public IEnumerable<Layer> Units =>
        PrefixEncoder is null ? [Embedding, .. Layers, Head] : [PrefixEncoder, Embedding, .. Layers, Head];

    /// <summary>The model's own parameters, adapters aside, in the order of the forward pass.</summary>
    public IReadOnlyList<Parameter> BaseParameters { get; }

    /// <summary>Base and adapter parameters.</summary>
    public IEnumerable<Parameter> Parameters => Units.SelectMany(unit => unit.Parameters);

    /// <summary>Added to every position: the number of virtual tokens where a prefix was trained by the library
    /// layout's rule, else 0.</summary>
    public int PositionOffset { get; set; }

    /// <inheritdoc/>
    public int VirtualTokens => (int)(Layers[0].Attention.Prefix?.Shape[1] ?? 0);

    /// <summary>The adapters that rows of a pass may have, each its own; null: nobody serves any.</summary>
    public ServedAdapters? Served { get; internal set; }

    /// <inheritdoc/>
    public IReadOnlyList<ServedAdapter> Adapters => Served?.All ?? [];

    /// <inheritdoc/>
    public int MostVirtualTokens => Math.Max(VirtualTokens, Served?.MostVirtualTokens ?? 0);

    /// <summary>Weights that may be held in fp8: of the linear layers inside decoder layers.</summary>
    public IEnumerable<Parameter> Fp8Weights =>
        Layers.SelectMany(layer => layer.Linears).Select(linear => linear.Weight);

    /// <summary>Fills every base weight at random: matrices normal with deviation 0.02, norms one, biases
    /// zero.</summary>
    /// <param name="seed">Decides the numbers, on one kind of device.</param>
    /// <param name="made">Called with each unit once its weights are in memory, which it may release.</param>
    /// <param name="fp8">Whether <see cref="Fp8Weights"/> are rounded to fp8 as they are made.</param>
    public void InitializeRandomly(long seed, Action<Layer>? made = null, bool fp8 = false)
    {
        // The tensor library makes generators for the CPU alone; a GPU has one of its own, which a seed sets.
        using var generator = Device.type == TorchSharp.DeviceType.CPU ? new Generator((ulong)seed, Device) : null;
        if (generator is null)
        {
            // torch.manual_seed is the CPU's alone here.
            cuda.manual_seed_all(seed);
        }

        HashSet<Parameter> rounded = fp8 ? [.. Fp8Weights] : [];
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
                    : value.fill_(1);
                if (rounded.Contains(parameter))
                {
                    parameter.Round(keepTransposed: true);
                }
            }

            made?.Invoke(unit);
        }
    }

    /// <summary>What the layers of one pass share.</summary>
    /// <param name="sequences">Which tokens belong to which sequence; passes to the context.</param>
    /// <param name="dropoutSeed">Decides dropout masks; null: no dropout.</param>
    /// <param name="cache">For a pass over a cache; passes to the context.</param>
    /// <param name="adapters">The adapter of each sequence; null: the base for all.</param>
    /// <param name="run">The tokens of <paramref name="sequences"/> that this pass holds; null: all.</param>
    /// <param name="exchange">Needed where it does not hold all.</param>
    public LayerContext Context(
        SequenceLayout sequences,
        long? dropoutSeed = null,
        CacheStep? cache = null,
        IReadOnlyList<ServedAdapter?>? adapters = null,
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
        return new LayerContext
        {
            Kernels = Kernels,
            Sequences = sequences,
            Cosine = cosine.DetachFromDisposeScope(),
            Sine = sine.DetachFromDisposeScope(),
            DropoutSeed = dropoutSeed,
            Cache = cache,
            Exchange = exchange,
            Adapters = adapters is null
                ? null
                : ServedAdapters.Rows(
                    adapters,
                    [.. Enumerable.Range(0, sequences.Count).Select(sequences.LengthOf)],
                    Device
                ),
        };
    }

    /// <summary>Cosines and sines of the first positions of a sequence, each [count, rotaryDim / 2]; the caller
    /// disposes them.</summary>
    public (Tensor Cosine, Tensor Sine) Angles(int count) =>
        rotary.Angles([.. Enumerable.Range(PositionOffset, count)], Type, Device);

    /// <summary>Places at which dropout may be: see <see cref="LayerContext.SeedOf(int)"/>. The output head, which is
    /// the last, has one for each part of the targets.</summary>
    /// <param name="targets">Targets of a pass.</param>
    public int Places(int targets) =>
        Head.Projection.Place + Math.Max(1, (targets + Head.ChunkRows - 1) / Head.ChunkRows);

    /// <summary>Hidden states after the last decoder layer, before the final norm.</summary>
    /// <param name="tokenIds">int64 [N].</param>
    /// <param name="context">The pass.</param>
    /// <returns>[N, C], in the caller's dispose scope.</returns>
    public Tensor Hidden(Tensor tokenIds, LayerContext context)
    {
        using var scope = NewDisposeScope();
        var x = Embedding.Forward(tokenIds, context.Kernels);
        var at = 0;
        foreach (var layer in Layers)
        {
            var stage = Plan.StageOf(layer.Number);
            if (stage != at)
            {
                var there = x.to(Plan.Devices[stage]).alias();
                x.Dispose();
                (x, at) = (there, stage);
            }

            var next = layer.Forward(x, OnStage(context, stage), tape: null);
            x.Dispose();
            x = next;
        }

        return x.MoveToOuterDisposeScope();
    }

    /// <summary>The stage of the plan that a unit is in.</summary>
    /// <param name="unit">One of <see cref="Units"/>.</param>
    internal int StageOf(Layer unit) =>
        unit is Glm4DecoderLayer layer ? Plan.StageOf(layer.Number)
        : unit == Head ? Plan.Devices.Count - 1
        : 0;

    // What the layers of a stage share: tensors on its device.
    private LayerContext OnStage(LayerContext context, int stage) =>
        stage == 0 ? context : context.On(stage, Plan.Devices[stage], kernels[stage]);

    /// <inheritdoc/>
    public KvCache NewCache(int slots, int capacity)
    {
        var places = capacity + MostVirtualTokens;
        var cache =
            Plan.Devices.Count == 1
                ? new KvCache(Config.LayerCount, slots, places, Config.KeyValueHeads, Config.HeadDim, Type, Device)
                : new KvCache(
                    [.. Layers.Select(layer => Plan.DeviceOf(layer.Number))],
                    slots,
                    places,
                    Config.KeyValueHeads,
                    Config.HeadDim,
                    Type
                );
        foreach (var layer in Layers)
        {
            if (layer.Attention.Prefix is { } prefix)
            {
                for (var slot = 0; slot < slots; slot++)
                {
                    cache.WriteStart(layer.Number, slot, prefix.Value);
                }
            }
        }

        return cache;
    }

    /// <inheritdoc/>
    public void StartSlot(KvCache cache, int slot, ServedAdapter? adapter)
    {
        foreach (var (layer, prefix) in (adapter?.Prefixes ?? []).Index())
        {
            cache.WriteStart(layer, slot, prefix);
        }
    }

    /// <inheritdoc/>
    public long CachedTokenBytes => 2L * Config.LayerCount * Config.Heads.KeyValueWidth * Parameter.BytesOf(Type);

    /// <inheritdoc/>
    public IDecoder? NewDecoder(KvCache cache, int vocabularySize) =>
        Glm4Decoder.CanDecode(this) ? new Glm4Decoder(this, cache, vocabularySize) : null;

    /// <summary>Cosines and sines of places 0 to <paramref name="count"/>, each [count, rotaryDim / 2]; in the caller's
    /// dispose scope.</summary>
    public (Tensor Cosine, Tensor Sine) AngleTable(int count) =>
        rotary.Angles([.. Enumerable.Range(0, count)], Type, Device);

    /// <inheritdoc/>
    public Tensor Logits(
        int[] tokenIds,
        SequenceLayout sequences,
        CacheStep? cache = null,
        bool lastOnly = false,
        IReadOnlyList<ServedAdapter?>? adapters = null
    )
    {
        using var scope = NewDisposeScope();
        using var context = Context(sequences, cache: cache, adapters: adapters);
        var place = Plan.Devices[^1];
        var last = lastOnly
            ? HostValues.ToDevice(sequences.Starts.Skip(1).Select(next => next - 1L).ToArray(), place)
            : null;
        if (cache is not null && Glm4Decoder.CanDecode(this))
        {
            return CachedLogits(Ids(tokenIds), last, context).MoveToOuterDisposeScope();
        }

        var hidden = Hidden(Ids(tokenIds), context);
        var end = OnStage(context, Plan.Devices.Count - 1);
        if (last is not null)
        {
            hidden = hidden.index_select(0, last);
            end.CutAdapters(last);
        }

        return Head.Logits(hidden, end).MoveToOuterDisposeScope();
    }

    /// <inheritdoc/>
    public double Loss(int[] tokenIds, SequenceLayout sequences, SupervisedTargets targets)
    {
        using var scope = NewDisposeScope();
        using var context = Context(sequences);
        var hidden = Hidden(Ids(tokenIds), context);
        using var there = Plan.Devices.Count == 1 ? null : targets.On(Plan.Devices[^1]);
        return Head.Loss(hidden, there ?? targets, OnStage(context, Plan.Devices.Count - 1), gradientScale: null)
            .Loss.to_type(ScalarType.Float64)
            .item<double>();
    }

    /// <summary>Token ids as the layers take them: int64 [N] on the device.</summary>
    public Tensor Ids(int[] tokenIds) => HostValues.ToDevice(Array.ConvertAll(tokenIds, id => (long)id), Device);

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var unit in Units)
        {
            unit.Dispose();
        }
    }

    // As a decoding pass, of any number of tokens: sums and norms are one kernel, and in the last layer only what is
    // asked for goes past attention.
    private Tensor CachedLogits(Tensor tokenIds, Tensor? last, LayerContext context)
    {
        using var scope = NewDisposeScope();
        var hidden = Embedding.Forward(tokenIds, context.Kernels);
        Tensor? delta = null;
        foreach (var layer in Layers)
        {
            var (nextHidden, nextDelta) = layer.Decode(
                hidden,
                delta,
                context,
                layer.Number == Layers.Count - 1 ? last : null
            );
            hidden.Dispose();
            delta?.Dispose();
            (hidden, delta) = (nextHidden, nextDelta);
        }

        return Head.Decode(hidden, delta!, context).MoveToOuterDisposeScope();
    }

    private Glm4DecoderLayer MakeLayer(int number)
    {
        var (config, heads, prefix) = (Config, Config.Heads, $"transformer.encoder.layers.{number}.");
        var device = Plan.DeviceOf(number);
        var queryKeyValue = new Linear(
            Matrix($"{prefix}self_attention.query_key_value.weight", heads.FusedWidth, config.HiddenSize, device),
            config.AttentionBias
                ? Vector($"{prefix}self_attention.query_key_value.bias", heads.FusedWidth, device)
                : null,
            number * 4
        );
        var dense = new Linear(
            Matrix($"{prefix}self_attention.dense.weight", config.HiddenSize, heads.QueryWidth, device),
            null,
            (number * 4) + 1
        );
        var gateUp = new Linear(
            Matrix($"{prefix}mlp.dense_h_to_4h.weight", 2L * config.FeedForwardSize, config.HiddenSize, device),
            null,
            (number * 4) + 2
        );
        var down = new Linear(
            Matrix($"{prefix}mlp.dense_4h_to_h.weight", config.HiddenSize, config.FeedForwardSize, device),
            null,
            (number * 4) + 3
        );
        return new Glm4DecoderLayer(
            number,
            Vector($"{prefix}input_layernorm.weight", config.HiddenSize, device),
            new Attention(queryKeyValue, dense, heads, number),
            Vector($"{prefix}post_attention_layernorm.weight", config.HiddenSize, device),
            new FeedForward(gateUp, down),
            config.NormEpsilon
        );
    }

    private Parameter Matrix(string name, long rows, long columns, Device device) =>
        new(name, [rows, columns], Type, device, decays: true);

    private Parameter Vector(string name, long size, Device device) => new(name, [size], Type, device, decays: false);
}
