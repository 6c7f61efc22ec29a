using System.Text.Json.Nodes;
using GlmTune.Model.Exporting;
using static TorchSharp.torch;

namespace GlmTune.Model.Glm4;

/// <summary>The architecture of a GLM-4 model, from either layout's <c>config.json</c>.</summary>
internal sealed record Glm4Config : ModelConfig
{
    private const int ChatGlm3Vocabulary = 65024;

    /// <inheritdoc/>
    public override string Title =>
        TiedHead ? "GLM-Edge"
        : OutputNorms ? "GLM-4-0414"
        : VocabularySize == ChatGlm3Vocabulary ? "ChatGLM3"
        : "GLM-4";

    /// <summary>Whether query, key and value have biases.</summary>
    public bool AttentionBias { get; init; } = true;

    /// <summary>Whether the outputs of attention and of the feed-forward block are normalised before they are added to
    /// the residual stream, as in GLM-4-0414 and GLM-Z1.</summary>
    public bool OutputNorms { get; init; }

    /// <inheritdoc/>
    public override long ParameterCount =>
        ((TiedHead ? 1L : 2L) * VocabularySize * HiddenSize) + HiddenSize + (LayerCount * ParametersPerLayer);

    /// <inheritdoc/>
    public override long ParametersPerLayer =>
        ((OutputNorms ? 4L : 2L) * HiddenSize)
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

    /// <summary>The shape of GLM-4-9B-0414 and GLM-Z1-9B-0414.</summary>
    public static Glm4Config Glm4_9B_0414 { get; } =
        Glm4_9B with
        {
            Layout = CheckpointLayout.Library,
            OutputNorms = true,
            NormEpsilon = 1e-05,
            RotaryBase = 10_000,
            MaxPositions = 32768,
        };

    /// <summary>The shape of GLM-Edge-1.5B-Chat.</summary>
    public static Glm4Config GlmEdge_1_5B { get; } =
        new()
        {
            Layout = CheckpointLayout.Library,
            LayerCount = 28,
            HiddenSize = 2048,
            FeedForwardSize = 6144,
            QueryHeads = 16,
            KeyValueHeads = 4,
            HeadDim = 128,
            VocabularySize = 59264,
            NormEpsilon = 1e-05,
            RotaryBase = 10_000,
            RotaryShare = 1,
            AttentionBias = false,
            TiedHead = true,
            MaxPositions = 8192,
            EndTokenIds = [59246, 59253, 59255],
            PaddingTokenId = 59246,
        };

    /// <summary>The shape of ChatGLM3-6B.</summary>
    public static Glm4Config ChatGlm3_6B { get; } =
        Glm4_9B with
        {
            LayerCount = 28,
            VocabularySize = ChatGlm3Vocabulary,
            NormEpsilon = 1e-05,
            RotaryBase = 10_000,
            MaxPositions = 8192,
            EndTokenIds = [2],
            PaddingTokenId = 0,
        };

    /// <inheritdoc/>
    public override IReadOnlyList<CheckpointLayout> Layouts =>
        OutputNorms || TiedHead ? [CheckpointLayout.Library] : [CheckpointLayout.Original, CheckpointLayout.Library];

    /// <inheritdoc/>
    public override GgufArchitecture Gguf => Glm4Gguf.Of(this);

    /// <inheritdoc/>
    public override DecoderModel NewModel(ScalarType type, DevicePlan plan, bool plain = false) =>
        new Glm4Model(this, type, plan, plain);

    /// <inheritdoc/>
    public override JsonObject ToJson(CheckpointLayout layout, string type)
    {
        RequireLayout(layout);
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
            Set("model_type", OutputNorms ? "glm4" : "glm");
            Set("architectures", new JsonArray(OutputNorms ? "Glm4ForCausalLM" : "GlmForCausalLM"));
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

        Set("tie_word_embeddings", TiedHead);
        Set("use_cache", true);
        if (EndTokenIds.Count > 0)
        {
            // ChatGLM3's own code expects a number.
            Set(
                "eos_token_id",
                EndTokenIds is [var only] && json["eos_token_id"] is JsonValue
                    ? only
                    : new JsonArray([.. EndTokenIds.Select(id => (JsonNode)id)])
            );
        }

        if (PaddingTokenId is { } padding)
        {
            Set("pad_token_id", padding);
        }

        Set(json.ContainsKey("dtype") ? "dtype" : "torch_dtype", type);
        return json;
    }
}
