using System.Text.Json.Nodes;

namespace GlmTune.Model;

/// <summary>Rejects impossible numbers in a <c>config.json</c>, before anything of that size is allocated.</summary>
internal static class ConfigLimits
{
    private const int MaxLayers = 1000;
    private const int MaxFeatures = 1 << 18;
    private const int MaxHeads = 1 << 12;
    private const int MaxTokens = 1 << 24;

    /// <summary>Returns the configuration if all of its numbers are possible.</summary>
    /// <param name="path">Path of the file, for messages.</param>
    /// <param name="config">The configuration.</param>
    /// <exception cref="InvalidDataException">Numbers are impossible; the message lists them all.</exception>
    public static ModelConfig Check(string path, ModelConfig config)
    {
        List<string> problems = [];
        void AtMost(int value, int most, params string[] keys)
        {
            if (value > most)
            {
                problems.Add($"{Written(config, keys)}; expected at most {most}.");
            }
        }

        void Expect(bool holds, string expected, params string[] keys)
        {
            if (!holds)
            {
                problems.Add($"{Written(config, keys)}; expected {expected}.");
            }
        }

        AtMost(config.LayerCount, MaxLayers, "num_layers", "num_hidden_layers");
        AtMost(config.HiddenSize, MaxFeatures, "hidden_size");
        AtMost(config.FeedForwardSize, MaxFeatures, "ffn_hidden_size", "intermediate_size");
        AtMost(config.QueryHeads, MaxHeads, "num_attention_heads");
        AtMost(config.KeyValueHeads, MaxHeads, "multi_query_group_num", "num_key_value_heads");
        AtMost(config.HeadDim, MaxHeads, "kv_channels", "head_dim");
        AtMost(config.VocabularySize, MaxTokens, "padded_vocab_size", "vocab_size");
        Expect(
            config.NormEpsilon >= 0 && double.IsFinite(config.NormEpsilon),
            "a number of at least 0",
            "layernorm_epsilon",
            "rms_norm_eps"
        );
        Expect(
            config.RotaryBase > 0 && double.IsFinite(config.RotaryBase),
            "a number above 0",
            "rope_ratio",
            "rope_theta"
        );
        Expect(config.RotaryShare is > 0 and <= 1, "a number above 0 and at most 1", "partial_rotary_factor");
        Expect(config.MaxPositions > 0, "a whole number above 0", "seq_length", "max_position_embeddings");
        return problems.Count == 0
            ? config
            : throw new InvalidDataException($"{path}: {string.Join("\n  ", problems)}");
    }

    private static string Written(ModelConfig config, string[] keys)
    {
        var rotary = config.Source["rope_parameters"] as JsonObject ?? config.Source["rope_scaling"] as JsonObject;
        var key = Array.Find(keys, key => config.Source[key] is not null || rotary?[key] is not null) ?? keys[0];
        return $"'{key}' is {(config.Source[key] ?? rotary?[key])?.ToJsonString() ?? "missing"}";
    }
}
