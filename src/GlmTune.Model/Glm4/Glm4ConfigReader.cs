using System.Text.Json;
using System.Text.Json.Nodes;

namespace GlmTune.Model.Glm4;

/// <summary>Reads one <c>config.json</c>, gathering every problem before it complains.</summary>
internal sealed class Glm4ConfigReader(string path, JsonObject json)
{
    private readonly List<string> problems = [];

    public Glm4Config Read()
    {
        var modelType =
            (json["model_type"] as JsonValue)?.GetValueKind() == JsonValueKind.String
                ? json["model_type"]!.GetValue<string>()
                : null;
        var config = modelType switch
        {
            "chatglm" => ReadOriginal(),
            "glm" => ReadLibrary(),
            "glm4" => throw new InvalidDataException(
                $"{path}: model_type 'glm4' (the GLM-4-0414 models) is another architecture, with two more norms in "
                    + "every layer. "
                    + "This program runs GLM-4-9B ('chatglm', or 'glm' as the transformers library converts it)."
            ),
            null => throw new InvalidDataException($"{path}: has no 'model_type'; expected 'chatglm' or 'glm'."),
            _ => throw new InvalidDataException(
                $"{path}: model_type '{modelType}' is not GLM-4. Expected 'chatglm', or 'glm' as the transformers "
                    + "library converts it."
            ),
        };
        Check(config);
        if (problems.Count > 0)
        {
            throw new InvalidDataException($"{path}: {string.Join("\n  ", problems)}");
        }

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
            Source = json,
        };
    }

    private Glm4Config ReadLibrary()
    {
        Expect("tie_word_embeddings", false);
        if (Text("hidden_act") is { } activation && activation is not ("silu" or "swish"))
        {
            problems.Add($"'hidden_act' is '{activation}'; expected 'silu'.");
        }

        var rotary = json["rope_parameters"] as JsonObject ?? json["rope_scaling"] as JsonObject;
        if (rotary?["rope_type"]?.ToString() is { } kind && kind != "default")
        {
            problems.Add($"rope_type is '{kind}'; only 'default' is supported.");
        }

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
            MaxPositions = (int)Number("max_position_embeddings", 131072),
            EndTokenIds = EndTokens(),
            PaddingTokenId = Optional("pad_token_id"),
            Source = json,
        };
    }

    private void Check(Glm4Config config)
    {
        if (problems.Count > 0)
        {
            return;
        }

        if (config.QueryHeads % config.KeyValueHeads != 0)
        {
            problems.Add(
                $"{config.QueryHeads} query heads cannot share {config.KeyValueHeads} key-value heads evenly."
            );
        }

        if (config.Heads.RotaryDim % 2 != 0 || config.Heads.RotaryDim <= 0)
        {
            problems.Add(
                $"{config.HeadDim} features a head, {config.RotaryShare} of them rotating, is "
                    + $"{config.Heads.RotaryDim}: expected an even number above 0."
            );
        }
    }

    private int Integer(params string[] names)
    {
        foreach (var name in names)
        {
            if (json[name] is JsonValue value)
            {
                if (
                    value.GetValueKind() == JsonValueKind.Number
                    && value.TryGetValue<int>(out var number)
                    && number > 0
                )
                {
                    return number;
                }

                problems.Add($"'{name}' is {value.ToJsonString()}; expected a whole number above 0.");
                return 1;
            }
        }

        problems.Add($"'{names[0]}' is missing.");
        return 1;
    }

    private int? Optional(string name) =>
        json[name] is JsonValue value && value.TryGetValue<int>(out var number) ? number : null;

    private double Number(string name, double? otherwise)
    {
        if (json[name] is JsonValue value)
        {
            if (value.GetValueKind() == JsonValueKind.Number)
            {
                return value.GetValue<double>();
            }

            problems.Add($"'{name}' is {value.ToJsonString()}; expected a number.");
        }
        else if (otherwise is null)
        {
            problems.Add($"'{name}' is missing.");
        }

        return otherwise ?? 1;
    }

    private static double? NumberIn(JsonObject? section, string name) =>
        section?[name] is JsonValue value && value.GetValueKind() == JsonValueKind.Number
            ? value.GetValue<double>()
            : null;

    private bool Flag(string name, bool otherwise) =>
        json[name] is JsonValue value && value.TryGetValue<bool>(out var flag) ? flag : otherwise;

    private string? Text(string name) =>
        json[name] is JsonValue value && value.TryGetValue<string>(out var text) ? text : null;

    private void Expect(string name, bool expected)
    {
        if (json[name] is JsonValue && Flag(name, expected) != expected)
        {
            problems.Add(
                $"'{name}' is {json[name]!.ToJsonString()}; this architecture has {(expected ? "true" : "false")}."
            );
        }
    }

    private List<int> EndTokens() =>
        json["eos_token_id"] switch
        {
            JsonArray list => [.. list.OfType<JsonValue>().Select(value => value.GetValue<int>())],
            JsonValue value when value.TryGetValue<int>(out var id) => [id],
            _ => [],
        };
}
