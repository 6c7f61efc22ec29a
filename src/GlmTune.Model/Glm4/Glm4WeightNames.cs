using GlmTune.Model.Adapters;
using GlmTune.Model.Layers;

namespace GlmTune.Model.Glm4;

/// <summary>Names of a model's weights in both checkpoint layouts.</summary>
/// <param name="config">The architecture.</param>
internal sealed class Glm4WeightNames(Glm4Config config) : WeightNames
{
    /// <summary>Name of the token embedding's table in a model.</summary>
    internal const string Embedding = "transformer.embedding.word_embeddings.weight";

    /// <summary>Name of the output head's projection in a model.</summary>
    internal const string Head = "transformer.output_layer.weight";

    private const string OriginalLayers = "transformer.encoder.layers.";
    private const string LibraryLayers = "model.layers.";

    /// <inheritdoc/>
    public override IReadOnlyList<WeightSlice> Slices(Parameter parameter, CheckpointLayout layout)
    {
        if (layout == CheckpointLayout.Original)
        {
            config.RequireLayout(layout);
            return [new WeightSlice(parameter.Name, parameter, 0, parameter.Shape[0])];
        }

        var name = LibraryName(parameter.Name);
        const string fused = ".self_attn.qkv_proj.";
        if (!name.Contains(fused, StringComparison.Ordinal))
        {
            return [new WeightSlice(name, parameter, 0, parameter.Shape[0])];
        }

        return
        [
            .. QueryKeyValueRows()
                .Select(part => new WeightSlice(
                    name.Replace(fused, $".self_attn.{part.Name}.", StringComparison.Ordinal),
                    parameter,
                    part.First,
                    part.Rows
                )),
        ];
    }

    /// <inheritdoc/>
    public override IEnumerable<IReadOnlyList<WeightSlice>> KnownSlices(Parameter parameter)
    {
        yield return Slices(parameter, config.Layout);
        foreach (var layout in config.Layouts.Where(layout => layout != config.Layout))
        {
            yield return Slices(parameter, layout);
        }

        var name = LibraryName(parameter.Name);
        if (config.TiedHead && parameter.Name == Head)
        {
            yield return [new WeightSlice(LibraryName(Embedding), parameter, 0, parameter.Shape[0])];
        }

        yield return [new WeightSlice(name, parameter, 0, parameter.Shape[0])];
        const string fused = ".mlp.gate_up_proj.";
        if (name.Contains(fused, StringComparison.Ordinal))
        {
            var half = parameter.Shape[0] / 2;
            yield return
            [
                new WeightSlice(name.Replace(fused, ".mlp.gate_proj.", StringComparison.Ordinal), parameter, 0, half),
                new WeightSlice(name.Replace(fused, ".mlp.up_proj.", StringComparison.Ordinal), parameter, half, half),
            ];
        }
    }

    /// <inheritdoc/>
    // The original checkpoints store the frequencies of the angles in bfloat16; they are computed exactly instead. A
    // tied head is the embedding even if a file has it twice, as in the transformers library.
    public override bool IsSpare(string name) =>
        name.EndsWith("rotary_pos_emb.inv_freq", StringComparison.Ordinal)
        || name.EndsWith("rotary_emb.inv_freq", StringComparison.Ordinal)
        || (config.TiedHead && name == LibraryName(Head));

    /// <inheritdoc/>
    public override IEnumerable<LinearSlice> Linears(DecoderModel model, CheckpointLayout layout)
    {
        foreach (var layer in model.Layers)
        {
            var (attention, feedForward) = (layer.Attention, layer.FeedForward);
            if (layout == CheckpointLayout.Original)
            {
                var prefix = $"{OriginalLayers}{layer.Number}.";
                yield return Whole($"{prefix}self_attention.query_key_value", attention.QueryKeyValue);
                yield return Whole($"{prefix}self_attention.dense", attention.Output);
                yield return Whole($"{prefix}mlp.dense_h_to_4h", feedForward.GateUp);
                yield return Whole($"{prefix}mlp.dense_4h_to_h", feedForward.Down);
            }
            else
            {
                var prefix = $"{LibraryLayers}{layer.Number}.";
                foreach (var (name, first, rows) in QueryKeyValueRows())
                {
                    yield return new LinearSlice(
                        $"{prefix}self_attn.{name}",
                        attention.QueryKeyValue,
                        first,
                        rows,
                        IsHead: false
                    );
                }

                yield return Whole($"{prefix}self_attn.o_proj", attention.Output);
                yield return Whole($"{prefix}mlp.gate_up_proj", feedForward.GateUp);
                yield return Whole($"{prefix}mlp.down_proj", feedForward.Down);
            }
        }

        var head = model.Head.Projection;
        yield return new LinearSlice(
            layout == CheckpointLayout.Original ? "transformer.output_layer" : "lm_head",
            head,
            0,
            head.OutputWidth,
            IsHead: true
        );
    }

    /// <inheritdoc/>
    public override LoraTargets DefaultTargets(CheckpointLayout layout) =>
        layout == CheckpointLayout.Original
            ? LoraTargets.FromNames("query_key_value")
            : LoraTargets.FromNames("q_proj", "k_proj", "v_proj");

    private static LinearSlice Whole(string name, Linear linear) =>
        new(name, linear, 0, linear.OutputWidth, IsHead: false);

    private IEnumerable<(string Name, long First, long Rows)> QueryKeyValueRows()
    {
        var heads = config.Heads;
        yield return ("q_proj", 0, heads.QueryWidth);
        yield return ("k_proj", heads.QueryWidth, heads.KeyValueWidth);
        yield return ("v_proj", heads.QueryWidth + heads.KeyValueWidth, heads.KeyValueWidth);
    }

    // Fused query-key-value becomes "qkv_proj", which the library does not have but other tools use.
    private static string LibraryName(string original) =>
        original switch
        {
            Embedding => "model.embed_tokens.weight",
            "transformer.encoder.final_layernorm.weight" => "model.norm.weight",
            Head => "lm_head.weight",
            _ => original
                .Replace(OriginalLayers, LibraryLayers, StringComparison.Ordinal)
                .Replace(".self_attention.query_key_value.", ".self_attn.qkv_proj.", StringComparison.Ordinal)
                .Replace(".self_attention.dense.", ".self_attn.o_proj.", StringComparison.Ordinal)
                .Replace(".mlp.dense_h_to_4h.", ".mlp.gate_up_proj.", StringComparison.Ordinal)
                .Replace(".mlp.dense_4h_to_h.", ".mlp.down_proj.", StringComparison.Ordinal),
        };
}
