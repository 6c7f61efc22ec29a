using GlmTune.Model.Layers;
using static TorchSharp.torch;

namespace GlmTune.Model.Glm4;

/// <summary>GLM-4 and its relatives, as <see cref="Glm4Config"/> describes them.</summary>
internal sealed class Glm4Model : DecoderModel
{
    /// <summary>Creates the layers on one device; weights are not in memory yet.</summary>
    /// <param name="config">The architecture.</param>
    /// <param name="type">Type that layers compute in.</param>
    /// <param name="device">Device of the model.</param>
    /// <param name="plain">Whether to use plain operators only, without fused kernels.</param>
    public Glm4Model(Glm4Config config, ScalarType type, Device device, bool plain = false)
        : this(config, type, new DevicePlan((device, config.LayerCount)), plain) { }

    /// <summary>Creates the layers, each on its device; weights are not in memory yet. Several devices are for
    /// inference only.</summary>
    /// <param name="config">The architecture.</param>
    /// <param name="type">Type that layers compute in.</param>
    /// <param name="plan">Device of each layer.</param>
    /// <param name="plain">Whether to use plain operators only, without fused kernels.</param>
    /// <exception cref="ArgumentException">The plan has another number of layers.</exception>
    public Glm4Model(Glm4Config config, ScalarType type, DevicePlan plan, bool plain = false)
        : base(config, type, plan, plain, new Glm4WeightNames(config), () => Make(config, type, plan)) { }

    private static DecoderParts Make(Glm4Config config, ScalarType type, DevicePlan plan)
    {
        var (first, last) = (plan.Devices[0], plan.Devices[^1]);
        // With several devices, a tied head has its own copy of the table.
        var tied = config.TiedHead && plan.Devices.Count == 1;
        var embedding = new TokenEmbedding(Table(Glm4WeightNames.Embedding, first), tied);
        return new DecoderParts(
            embedding,
            [.. Enumerable.Range(0, config.LayerCount).Select(number => MakeLayer(config, type, plan, number))],
            new OutputHead(
                Parameter.Vector("transformer.encoder.final_layernorm.weight", config.HiddenSize, type, last),
                new Linear(tied ? embedding.Weight : Table(Glm4WeightNames.Head, last), null, config.LayerCount * 4),
                config.NormEpsilon,
                tied ? embedding : null
            )
        );

        Parameter Table(string name, Device device) =>
            Parameter.Matrix(name, config.VocabularySize, config.HiddenSize, type, device);
    }

    private static Glm4DecoderLayer MakeLayer(Glm4Config config, ScalarType type, DevicePlan plan, int number)
    {
        var (heads, prefix, device) = (config.Heads, $"transformer.encoder.layers.{number}.", plan.DeviceOf(number));
        var queryKeyValue = new Linear(
            Matrix("self_attention.query_key_value.weight", heads.FusedWidth, config.HiddenSize),
            config.AttentionBias ? Vector("self_attention.query_key_value.bias", heads.FusedWidth) : null,
            number * 4
        );
        var dense = new Linear(
            Matrix("self_attention.dense.weight", config.HiddenSize, heads.QueryWidth),
            null,
            (number * 4) + 1
        );
        var gateUp = new Linear(
            Matrix("mlp.dense_h_to_4h.weight", 2L * config.FeedForwardSize, config.HiddenSize),
            null,
            (number * 4) + 2
        );
        var down = new Linear(
            Matrix("mlp.dense_4h_to_h.weight", config.HiddenSize, config.FeedForwardSize),
            null,
            (number * 4) + 3
        );
        return new Glm4DecoderLayer(
            number,
            Vector("input_layernorm.weight", config.HiddenSize),
            new Attention(queryKeyValue, dense, heads, number),
            Vector("post_attention_layernorm.weight", config.HiddenSize),
            new FeedForward(gateUp, down),
            config.NormEpsilon,
            config.OutputNorms
                ? (
                    Vector("post_self_attn_layernorm.weight", config.HiddenSize),
                    Vector("post_mlp_layernorm.weight", config.HiddenSize)
                )
                : null
        );

        Parameter Matrix(string name, long rows, long columns) =>
            Parameter.Matrix(prefix + name, rows, columns, type, device);

        Parameter Vector(string name, long size) => Parameter.Vector(prefix + name, size, type, device);
    }
}
