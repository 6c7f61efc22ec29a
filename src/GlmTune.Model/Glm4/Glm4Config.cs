using System.Text.Json.Nodes;
using static TorchSharp.torch;

namespace GlmTune.Model.Glm4;

/// <summary>The architecture of a GLM-4 model, from either layout's <c>config.json</c>.</summary>
public sealed record Glm4Config : ModelConfig
{
    /// <summary>Whether query, key and value have biases.</summary>
    public bool AttentionBias { get; init; } = true;

    /// <inheritdoc/>
    public override long ParameterCount =>
        (2L * VocabularySize * HiddenSize) + HiddenSize + (LayerCount * ParametersPerLayer);

    /// <inheritdoc/>
    public override long ParametersPerLayer =>
        (2L * HiddenSize)
        + ((long)Heads.FusedWidth * (HiddenSize + (AttentionBias ? 1 : 0)))
        + ((long)HiddenSize * Heads.QueryWidth)
        + (3L * HiddenSize * FeedForwardSize);

    /// <summary>The shape of GLM-4-9B-Chat.</summary>
    public static Glm4Config Glm4_9B { get; } =
        new()
        {
            Layout = CheckpointLayout.Original,
            LayerCount = 40,
            HiddenSize = 4096,
            FeedForwardSize = 13696,
            QueryHeads = 32,
            KeyValueHeads = 2,
            HeadDim = 128,
            VocabularySize = 151552,
            NormEpsilon = 1.5625e-07,
            RotaryBase = 5_000_000,
            MaxPositions = 131072,
            EndTokenIds = [151329, 151336, 151338],
            PaddingTokenId = 151329,
        };

    /// <inheritdoc/>
    public override DecoderModel NewModel(ScalarType type, DevicePlan plan, bool plain = false) =>
        new Glm4Model(this, type, plan, plain);

    /// <inheritdoc/>
    public override JsonObject ToJson(CheckpointLayout layout, string type)
    {
        var json = layout == Layout ? (JsonObject)Source.DeepClone() : [];
        void Set(string key, JsonNode? value) => json[key] = value;
        if (layout == CheckpointLayout.Original)
        {
            Set("model_type", "chatglm");
            Set("architectures", new JsonArray("ChatGLMModel"));
            Set("num_layers", LayerCount);
            Set("num_hidden_layers", LayerCount);
            Set("hidden_size", HiddenSize);
            Set("num_attention_heads", QueryHeads);
            Set("kv_channels", HeadDim);
            Set("multi_query_attention", KeyValueHeads != QueryHeads);
            Set("multi_query_group_num", KeyValueHeads);
            Set("ffn_hidden_size", FeedForwardSize);
            Set("padded_vocab_size", VocabularySize);
            Set("vocab_size", VocabularySize);
            Set("seq_length", MaxPositions);
            Set("rope_ratio", RotaryBase / 10000);
            Set("original_rope", true);
            Set("layernorm_epsilon", NormEpsilon);
            Set("rmsnorm", true);
            Set("post_layer_norm", true);
            Set("add_qkv_bias", AttentionBias);
            Set("add_bias_linear", false);
            Set("apply_query_key_layer_scaling", true);
            Set("apply_residual_connection_post_layernorm", false);
            Set("attention_softmax_in_fp32", true);
            Set("attention_dropout", 0.0);
            Set("hidden_dropout", 0.0);
            Set("bias_dropout_fusion", true);
            Set("fp32_residual_connection", false);
        }
        else
        {
            Set("model_type", "glm");
            Set("architectures", new JsonArray("GlmForCausalLM"));
            Set("num_hidden_layers", LayerCount);
            Set("hidden_size", HiddenSize);
            Set("intermediate_size", FeedForwardSize);
            Set("num_attention_heads", QueryHeads);
            Set("num_key_value_heads", KeyValueHeads);
            Set("head_dim", HeadDim);
            Set("partial_rotary_factor", RotaryShare);
            Set("hidden_act", "silu");
            Set("attention_bias", AttentionBias);
            Set("attention_dropout", 0.0);
            Set("rms_norm_eps", NormEpsilon);
            Set("max_position_embeddings", MaxPositions);
            Set("initializer_range", 0.02);
            Set("vocab_size", VocabularySize);
            if (json["rope_parameters"] is not JsonObject)
            {
                Set("rope_theta", RotaryBase);
            }
        }

        Set("tie_word_embeddings", false);
        Set("use_cache", true);
        if (EndTokenIds.Count > 0)
        {
            Set("eos_token_id", new JsonArray([.. EndTokenIds.Select(id => (JsonNode)id)]));
        }

        if (PaddingTokenId is { } padding)
        {
            Set("pad_token_id", padding);
        }

        Set(json.ContainsKey("dtype") ? "dtype" : "torch_dtype", type);
        return json;
    }
}
