using GlmTune.Model.Layers;
using static TorchSharp.torch;

namespace GlmTune.Model.Glm4;

/// <summary>GLM-4-9B.</summary>
public sealed class Glm4Model : DecoderModel
{
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
        : base(config, type, plan, plain, new Glm4WeightNames(config), () => Make(config, type, plan)) { }

    private static DecoderParts Make(Glm4Config config, ScalarType type, DevicePlan plan)
    {
        var (first, last) = (plan.Devices[0], plan.Devices[^1]);
        return new DecoderParts(
            new TokenEmbedding(
                Parameter.Matrix(
                    "transformer.embedding.word_embeddings.weight",
                    config.VocabularySize,
                    config.HiddenSize,
                    type,
                    first
                )
            ),
            [.. Enumerable.Range(0, config.LayerCount).Select(number => MakeLayer(config, type, plan, number))],
            new OutputHead(
                Parameter.Vector("transformer.encoder.final_layernorm.weight", config.HiddenSize, type, last),
                new Linear(
                    Parameter.Matrix(
                        "transformer.output_layer.weight",
                        config.VocabularySize,
                        config.HiddenSize,
                        type,
                        last
                    ),
                    null,
                    config.LayerCount * 4
                ),
                config.NormEpsilon
            )
        );
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
            config.NormEpsilon
        );

        Parameter Matrix(string name, long rows, long columns) =>
            Parameter.Matrix(prefix + name, rows, columns, type, device);

        Parameter Vector(string name, long size) => Parameter.Vector(prefix + name, size, type, device);
    }
}
