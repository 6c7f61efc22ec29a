using GlmTune.Kernels.Definitions;
using GlmTune.Model.Layers;
using static TorchSharp.torch;

namespace GlmTune.Model.Adapters;

/// <summary>P-Tuning v2 on a whole model: learned keys and values of P virtual tokens in every decoder layer.</summary>
/// <remarks>
/// Either every layer's prefix [2, P, K, D] is trained itself, or a <see cref="PrefixEncoder"/> that makes all of them
/// is. Prefix keys are not rotated. Source: Liu et al., P-Tuning v2, arXiv:2110.07602. </remarks>
public sealed class PrefixTuning : IAdapter
{
    private readonly List<Parameter> prefixes = [];

    private PrefixTuning(PrefixTuningOptions options, PrefixPositions positions) =>
        (Options, Positions) = (options, positions);

    /// <summary>What it was made from; sizes and positions as they came out, none null or automatic.</summary>
    public PrefixTuningOptions Options { get; }

    /// <summary>At which position the first real token stands.</summary>
    public PrefixPositions Positions { get; }

    /// <summary>P.</summary>
    public int VirtualTokens => Options.VirtualTokens;

    /// <summary>Position of the first real token: P by the library layout's rule, else 0.</summary>
    public int FirstPosition => Positions == PrefixPositions.Library ? VirtualTokens : 0;

    /// <summary>Each layer's keys and values [2, P, K, D].</summary>
    public IReadOnlyList<Parameter> Prefixes => prefixes;

    /// <summary>What makes the prefixes (<c>prefix_projection</c>); null: they are trained themselves.</summary>
    public PrefixEncoder? Encoder { get; private set; }

    /// <inheritdoc/>
    public IEnumerable<Parameter> Parameters => Encoder?.Parameters ?? prefixes;

    /// <summary>Puts a prefix of zeros into every layer, and freezes everything else.</summary>
    /// <param name="model">Gets the prefix; the adapter must outlive its use.</param>
    /// <param name="options">Sizes and so on.</param>
    /// <exception cref="InvalidDataException">Sizes are not the model's; all at once, with the right ones.</exception>
    /// <exception cref="InvalidOperationException">The model has a prefix already.</exception>
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

    /// <summary>Draws the starting values: zeros where the options say so, else standard normal ones.</summary>
    /// <param name="seed">With a parameter's name, decides its numbers.</param>
    /// <remarks>A prefix from text is made by <see cref="InitializeFromText"/>; a projection cannot begin with
    /// one.</remarks>
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

    /// <summary>Starts with the keys and values that the base model computes for text, so that the prefix acts as that
    /// text would in front.</summary>
    /// <param name="model">The model that it sits on; its weights are in memory.</param>
    /// <param name="tokenIds">The text, such as the first training prompts; repeated or cut to P tokens. At least
    /// one.</param>
    /// <exception cref="ArgumentException">There is no token, or the prefix comes from a projection, which cannot give
    /// chosen values.</exception>
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
                prefixes[i].Value.copy_(stack([cache.Keys(i)[0], cache.Values(i)[0]]));
            }
        }
        finally
        {
            PutOn(model);
        }
    }

    /// <summary>The tensor that PEFT stores, [P, L·2·K·D]: of each layer first the keys, then the values. In the
    /// caller's dispose scope.</summary>
    /// <param name="values">Where a parameter's values are; null: the adapter's own.</param>
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

    /// <summary>Sets every layer's prefix from the tensor that PEFT stores.</summary>
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
        ScalarType type = ScalarType.Float32
    ) => AdapterFolder.SavePrefix(folder, this, baseModel, values, type);

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

    /// <summary>Hands each layer its part of a stored tensor, [2, P, K, D].</summary>
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
