using System.Text.Json.Nodes;

namespace GlmTune.Model.Glm4;

/// <summary>Reads one <c>config.json</c> of a GLM-4 model, in either layout.</summary>
internal sealed class Glm4ConfigReader(string path, JsonObject json) : ConfigReader(path, json)
{
    /// <summary>Reads the file.</summary>
    /// <exception cref="InvalidDataException">The file is inconsistent, or of another architecture; the message lists
    /// all problems.</exception>
    public Glm4Config Read()
    {
        var config = Text("model_type") == "chatglm" ? ReadOriginal() : ReadLibrary();
        CheckHeads(config);
        ThrowIfAny();
        return config;
    }

    private Glm4Config ReadOriginal()
    {
        Expect("rmsnorm", true);
        Expect("post_layer_norm", true);
        Expect("add_bias_linear", false);
        Expect("apply_residual_connection_post_layernorm", false);
        Expect("tie_word_embeddings", false);
        Expect("original_rope", true);
        CheckRotary("rope_scaling");
        var heads = Integer("num_attention_heads");
        return new Glm4Config
        {
            Layout = CheckpointLayout.Original,
            LayerCount = Integer("num_layers", "num_hidden_layers"),
            HiddenSize = Integer("hidden_size"),
            FeedForwardSize = Integer("ffn_hidden_size"),
            QueryHeads = heads,
            KeyValueHeads = Flag("multi_query_attention", true) ? Integer("multi_query_group_num") : heads,
            HeadDim = Integer("kv_channels"),
            VocabularySize = Integer("padded_vocab_size", "vocab_size"),
            NormEpsilon = Number("layernorm_epsilon", 1e-5),
            RotaryBase = 10000 * Number("rope_ratio", 1),
            AttentionBias = Flag("add_qkv_bias", false),
            MaxPositions = (int)Number("seq_length", 2048),
            EndTokenIds = EndTokens(),
            PaddingTokenId = Optional("pad_token_id"),
            Source = Json,
        };
    }

    private Glm4Config ReadLibrary()
    {
        if (Text("hidden_act") is { } activation && activation is not ("silu" or "swish"))
        {
            Problems.Add($"'hidden_act' is '{activation}'; expected 'silu'.");
        }

        var (parameters, scaling) = (CheckRotary("rope_parameters"), CheckRotary("rope_scaling"));
        var rotary = parameters ?? scaling;
        var heads = Integer("num_attention_heads");
        return new Glm4Config
        {
            Layout = CheckpointLayout.Library,
            LayerCount = Integer("num_hidden_layers"),
            HiddenSize = Integer("hidden_size"),
            FeedForwardSize = Integer("intermediate_size"),
            QueryHeads = heads,
            KeyValueHeads = Optional("num_key_value_heads") ?? heads,
            HeadDim = Optional("head_dim") ?? (heads > 0 ? Integer("hidden_size") / heads : 0),
            VocabularySize = Integer("vocab_size"),
            NormEpsilon = Number("rms_norm_eps", 1.5625e-07),
            RotaryBase = NumberIn(rotary, "rope_theta") ?? Number("rope_theta", null),
            RotaryShare = NumberIn(rotary, "partial_rotary_factor") ?? Number("partial_rotary_factor", 0.5),
            AttentionBias = Flag("attention_bias", false),
            TiedHead = Flag("tie_word_embeddings", false),
            OutputNorms = Text("model_type") == "glm4",
            MaxPositions = (int)Number("max_position_embeddings", 131072),
            EndTokenIds = EndTokens(),
            PaddingTokenId = Optional("pad_token_id"),
            Source = Json,
        };
    }

    // Older files have 'type', newer ones 'rope_type'.
    private JsonObject? CheckRotary(string key)
    {
        if (Json[key] is not JsonObject rotary)
        {
            return null;
        }

        if ((rotary["rope_type"] ?? rotary["type"])?.ToString() is { } kind && kind != "default")
        {
            Problems.Add(
                $"'{key}' is of the type '{kind}'; only 'default' is supported. Remove it to use the model up to the "
                    + "length that it was trained with."
            );
        }

        return rotary;
    }
}
