using GlmTune.Kernels.Definitions;
using GlmTune.Model.Layers;
using static TorchSharp.torch;

namespace GlmTune.Model.Adapters;

/// <summary>P-Tuning v2 on a whole model: trained keys and values of P virtual tokens in every decoder layer.</summary>
/// <remarks>Either the prefix [2, P, K, D] of every layer is trained directly, or a <see cref="PrefixEncoder"/> that
/// computes all of them. Prefix keys are not rotated. Source: Liu et al., P-Tuning v2, arXiv:2110.07602.</remarks>
internal sealed class PrefixTuning : IAdapter
{
    private readonly List<Parameter> prefixes = [];

    private PrefixTuning(PrefixTuningOptions options, PrefixPositions positions) =>
        (Options, Positions) = (options, positions);

    /// <summary>The options that it was created with; sizes and positions are resolved, none null or
    /// automatic.</summary>
    public PrefixTuningOptions Options { get; }

    /// <summary>Position of the first real token, as a rule.</summary>
    public PrefixPositions Positions { get; }

    /// <summary>Number of virtual tokens, P.</summary>
    public int VirtualTokens => Options.VirtualTokens;

    /// <summary>Position of the first real token: P by the library layout's rule, otherwise 0.</summary>
    public int FirstPosition => Positions == PrefixPositions.Library ? VirtualTokens : 0;

    /// <summary>Keys and values of each layer, [2, P, K, D].</summary>
    public IReadOnlyList<Parameter> Prefixes => prefixes;

    /// <summary>Computes the prefixes (<c>prefix_projection</c>); null: they are trained directly.</summary>
    public PrefixEncoder? Encoder { get; private set; }

    /// <inheritdoc/>
    public IEnumerable<Parameter> Parameters => Encoder?.Parameters ?? prefixes;

    /// <summary>Attaches a prefix of zeros to every layer, and freezes everything else.</summary>
    /// <param name="model">The model; the adapter must live as long as the model uses it.</param>
    /// <param name="options">Sizes and so on.</param>
    /// <exception cref="InvalidDataException">Sizes differ from the model's; the message lists them all with the
    /// correct values.</exception>
    /// <exception cref="InvalidOperationException">The model already has a prefix.</exception>
    public static PrefixTuning Attach(DecoderModel model, PrefixTuningOptions options)
    {
        if (model.VirtualTokens > 0)
        {
            throw new InvalidOperationException("The model already has a prefix; detach it first.");
        }

        var heads = model.Config.Heads;
        CheckSizes(options, model.Config);
        var positions =
            options.Positions != PrefixPositions.Auto ? options.Positions
            : model.Config.Layout == CheckpointLayout.Original ? PrefixPositions.Original
            : PrefixPositions.Library;
        var width = heads.KeyValueWidth;
        var adapter = new PrefixTuning(
            options with
            {
                AttentionHeads = heads.KeyValueHeads,
                TokenDim = width,
                Layers = model.Config.LayerCount,
                EncoderHiddenSize = options.EncoderHiddenSize ?? width,
                Positions = positions,
            },
            positions
        );
        foreach (var parameter in model.BaseParameters)
        {
            parameter.Trainable = false;
        }

        long[] shape = [2, options.VirtualTokens, heads.KeyValueHeads, heads.HeadDim];
        foreach (var layer in model.Layers)
        {
            var device = model.Plan.DeviceOf(layer.Number);
            adapter.prefixes.Add(
                new Parameter($"prompt_encoder.layers.{layer.Number}", shape, model.Type, device, decays: true)
                {
                    Trainable = !options.Projection,
                    Computed = options.Projection,
                    Value = zeros(shape, model.Type, device),
                }
            );
        }

        adapter.Encoder = options.Projection ? new PrefixEncoder(adapter.prefixes, adapter.Options) : null;
        adapter.PutOn(model);
        return adapter;
    }

    /// <summary>Draws initial values: zeros if the options say so, otherwise standard normal.</summary>
    /// <param name="seed">Seed; together with a parameter's name it determines the numbers.</param>
    /// <remarks>Use <see cref="InitializeFromText"/> for a prefix from text, which is not possible with a
    /// projection.</remarks>
    public void Initialize(long seed)
    {
        using var scope = NewDisposeScope();
        var zero = Options.Initialization == PrefixInitialization.Zero;
        Encoder?.Initialize(seed, zero);
        foreach (var prefix in Encoder is null ? prefixes : [])
        {
            prefix.Value.copy_(zero ? zeros_like(prefix.Value) : SeededRandom.Normal(prefix, seed, 1));
        }
    }

    /// <summary>Initializes the prefix with the keys and values that the base model computes for a text, so that it
    /// acts like that text before the input.</summary>
    /// <param name="model">The model that it is attached to; its weights are in memory.</param>
    /// <param name="tokenIds">Token ids of the text, such as the first training prompts; at least one. Repeated or
    /// truncated to P tokens.</param>
    /// <exception cref="ArgumentException">There is no token, or the prefix comes from a projection, which cannot
    /// produce given values.</exception>
    /// <remarks>Keys are rotated to the P positions before the first real token, wherever that is.</remarks>
    public void InitializeFromText(DecoderModel model, IReadOnlyList<int> tokenIds)
    {
        if (tokenIds.Count == 0)
        {
            throw new ArgumentException("A prefix from text needs at least one token.", nameof(tokenIds));
        }

        if (Encoder is not null)
        {
            throw new ArgumentException(
                "With prefix_projection, a prefix cannot be initialized from text; set init_weights to "
                    + "normal or zero.",
                nameof(tokenIds)
            );
        }

        using var scope = NewDisposeScope();
        int[] ids = [.. Enumerable.Range(0, VirtualTokens).Select(i => tokenIds[i % tokenIds.Count])];
        Detach(model);
        try
        {
            model.PositionOffset = FirstPosition - VirtualTokens;
            using var cache = model.NewCache(slots: 1, capacity: VirtualTokens);
            model.Logits(
                ids,
                SequenceLayout.OfRows(1, VirtualTokens, model.Device),
                new CacheStep(cache, [0], [0], [VirtualTokens]),
                lastOnly: true
            );
            for (var i = 0; i < prefixes.Count; i++)
            {
                prefixes[i].Value.copy_(cache.ReadStart(i, slot: 0, VirtualTokens));
            }
        }
        finally
        {
            PutOn(model);
        }
    }

    /// <summary>The tensor that PEFT stores, [P, L·2·K·D]: for each layer first the keys, then the values. In the
    /// caller's dispose scope.</summary>
    /// <param name="values">Returns a parameter's values; null: the adapter's own values.</param>
    public Tensor PromptEmbeddings(Func<Parameter, Tensor>? values = null)
    {
        using var scope = NewDisposeScope();
        var result =
            Encoder?.Encode(values)
            ?? cat(
                [
                    .. prefixes.Select(prefix =>
                        (values?.Invoke(prefix) ?? prefix.Value).permute(1, 0, 2, 3).reshape(VirtualTokens, -1)
                    ),
                ],
                1
            );
        return result.MoveToOuterDisposeScope();
    }

    /// <summary>Sets the prefix of every layer from the tensor that PEFT stores.</summary>
    /// <param name="stored">[P, L·2·K·D].</param>
    public void SetPromptEmbeddings(Tensor stored)
    {
        using var scope = NewDisposeScope();
        Split(stored, prefixes, (prefix, values) => prefix.Value.copy_(values));
    }

    /// <inheritdoc/>
    public void Save(
        string folder,
        string? baseModel,
        Func<Parameter, Tensor>? values = null,
        ScalarType type = ScalarType.Float32,
        string? baseFingerprint = null
    ) => AdapterFolder.SavePrefix(folder, this, baseModel, values, type, baseFingerprint);

    /// <inheritdoc/>
    public void Detach(DecoderModel model)
    {
        foreach (var layer in model.Layers)
        {
            layer.Attention.Prefix = null;
        }

        model.PrefixEncoder = null;
        model.PositionOffset = 0;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Encoder?.Dispose();
        prefixes.ForEach(prefix => prefix.Dispose());
    }

    /// <summary>Passes each layer its part of a stored tensor, [2, P, K, D].</summary>
    internal static void Split(Tensor stored, IReadOnlyList<Parameter> prefixes, Action<Parameter, Tensor> take)
    {
        var shape = prefixes[0].Shape;
        var all = stored.reshape(shape[1], prefixes.Count, 2, shape[2], shape[3]);
        for (var i = 0; i < prefixes.Count; i++)
        {
            take(prefixes[i], all.select(1, i).permute(1, 0, 2, 3));
        }
    }

    private void PutOn(DecoderModel model)
    {
        foreach (var (layer, prefix) in model.Layers.Zip(prefixes))
        {
            layer.Attention.Prefix = prefix;
        }

        model.PrefixEncoder = Encoder;
        model.PositionOffset = FirstPosition;
    }

    private static void CheckSizes(PrefixTuningOptions options, ModelConfig config)
    {
        var (heads, problems) = (config.Heads, new List<string>());
        void Check(string key, int? found, int expected, string meaning)
        {
            if (found is { } value && value != expected)
            {
                problems.Add($"{key} is {value}; expected {expected}, {meaning}.");
            }
        }

        Check("num_attention_heads", options.AttentionHeads, heads.KeyValueHeads, "the model's key-value heads");
        Check(
            "token_dim",
            options.TokenDim,
            heads.KeyValueWidth,
            $"{heads.KeyValueHeads} key-value heads × head size {heads.HeadDim}"
        );
        Check("num_layers", options.Layers, config.LayerCount, "the model's decoder layers");
        if (options.VirtualTokens < 1)
        {
            problems.Add($"num_virtual_tokens is {options.VirtualTokens}; expected at least 1.");
        }

        if (problems.Count > 0)
        {
            throw new InvalidDataException(
                $"The prefix does not match the model: {string.Join(" ", problems)} Sizes that are not given "
                    + "are taken from the model."
            );
        }
    }
}
