using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using GlmTune.Model.Prequantized;

namespace GlmTune.Model;

/// <summary>Recognises models of other families, and unsupported forms of GLM-4, by their <c>config.json</c>.</summary>
/// <remarks>The purpose is to name the cause: a quantised model would otherwise appear as tensors of wrong
/// shapes.</remarks>
internal static class UnsupportedModel
{
    // Rows of the embedding of ChatGLM-6B's two revisions.
    private static readonly int[] FirstVocabularies = [130528, 150528];

    private static readonly Dictionary<string, string> OtherModels = new(StringComparer.Ordinal)
    {
        ["glm4_moe"] = "a mixture-of-experts model of the GLM-4.5 family",
        ["glm4_moe_lite"] = "a mixture-of-experts model of the GLM-4.7 family",
        ["glm4v"] = "a vision model of the GLM-4.1V family",
        ["glm4v_moe"] = "a vision model of the GLM-4.5V family",
        ["glmasr"] = "a speech model",
        ["glm_ocr"] = "a vision model",
    };

    /// <summary>Unsupported forms of any family, one sentence each; empty if none is recognised.</summary>
    /// <param name="json">The file's object.</param>
    public static IReadOnlyList<string> FindForms(JsonObject json)
    {
        List<string> forms = [];
        if (Quantisation(json) is { } method)
        {
            forms.Add(
                $"this model is quantised ({method}), which is not supported. Use the model that it was made from. To "
                    + "save memory, quantize it while loading: quantization: nf4 in a recipe, or --quantization nf4."
            );
        }

        if (json["vision_config"] is JsonObject)
        {
            forms.Add("'vision_config': this is a vision model (such as glm-4v-9b); only text models are read.");
        }

        return forms;
    }

    /// <summary>Describes a model that belongs to no supported family, in one sentence.</summary>
    /// <param name="json">The file's object.</param>
    /// <param name="expected">The supported types, in words.</param>
    public static string Describe(JsonObject json, string expected)
    {
        var type = Text(json, "model_type");
        var architecture =
            json["architectures"] is JsonArray list && list.Count > 0 && list[0] is JsonValue first
                ? Text(first)
                : null;
        return OtherGlm4Form(json)
            ?? (
                type is null
                    ? $"has no 'model_type'{(architecture is null ? "" : $" (its architecture is '{architecture}')")}; "
                        + $"expected {expected}."
                : OtherModels.TryGetValue(type, out var other)
                    ? $"model_type '{type}' is {other}; it is not supported. Expected {expected}."
                : $"model_type '{type}'{(architecture is null ? "" : $" ({architecture})")} is not GLM-4. Expected "
                    + $"{expected}."
            );
    }

    /// <summary>Describes other models with the type of GLM-4-9B, in one sentence; null if nothing speaks against
    /// GLM-4-9B.</summary>
    /// <param name="json">The file's object.</param>
    public static string? OtherGlm4Form(JsonObject json)
    {
        var name = Text(json, "_name_or_path") ?? "";
        return Text(json, "model_type") switch
        {
            "chatglm" => ChatGlm(json, name),
            _ => null,
        };
    }

    /// <summary>How a model was quantised, according to a tensor's name; null if it was not.</summary>
    /// <param name="name">Name of the tensor, such as <c>….query_key_value.qweight</c>.</param>
    public static string? QuantisationOf(string name) =>
        name.Contains(".absmax", StringComparison.Ordinal)
        || name.Contains(".quant_state.", StringComparison.Ordinal)
        || name.EndsWith(".SCB", StringComparison.Ordinal)
            ? "bitsandbytes"
        : name.EndsWith(".qweight", StringComparison.Ordinal) || name.EndsWith(".qzeros", StringComparison.Ordinal)
            ? "GPTQ or AWQ"
        : name.EndsWith(".weight_scale_inv", StringComparison.Ordinal)
        || name.EndsWith(".weight_scale", StringComparison.Ordinal)
        || name.EndsWith(".input_scale", StringComparison.Ordinal)
        || name.EndsWith(".weight_packed", StringComparison.Ordinal)
            ? "8-bit or 4-bit with scales"
        : null;

    private static string? ChatGlm(JsonObject json, string name)
    {
        var vocabulary = Whole(json, "padded_vocab_size") ?? Whole(json, "vocab_size");
        var known =
            json.ContainsKey("inner_hidden_size")
            || json.ContainsKey("position_encoding_2d")
            || (vocabulary is { } rows && FirstVocabularies.Contains(rows))
                ? "ChatGLM-6B"
            : Names(name, "chatglm2") ? "ChatGLM2-6B"
            : Names(name, "codegeex2") ? "CodeGeeX2-6B"
            : null;
        return known is null
            ? null
            : $"this is {known}, which has another chat format; it is not supported. ChatGLM3-6B, GLM-4-9B and its "
                + "relatives are.";
    }

    private static string? Quantisation(JsonObject json)
    {
        if (json["quantization_config"] is JsonObject config)
        {
            StoredQuantization.Read(json, out var reason);
            return reason is null
                ? null
                : (Text(config, "quant_method") ?? "'quantization_config'")
                    + Bits(config)
                    + (reason.Length == 0 ? "" : $", {reason}");
        }

        if (json["quantization"] is JsonObject mlx)
        {
            return "MLX" + Bits(mlx);
        }

        return Whole(json, "quantization_bit") is > 0 and var bits
            ? string.Create(CultureInfo.InvariantCulture, $"'quantization_bit' is {bits}")
            : null;
    }

    private static string Bits(JsonObject config) =>
        Is(config, "load_in_4bit", true) || Is(config, "_load_in_4bit", true) ? ", 4 bits"
        : Is(config, "load_in_8bit", true) || Is(config, "_load_in_8bit", true) ? ", 8 bits"
        : (Whole(config, "bits") ?? Whole(config, "w_bit")) is { } bits
            ? string.Create(CultureInfo.InvariantCulture, $", {bits} bits")
        : "";

    private static bool Names(string name, string part) => name.Contains(part, StringComparison.OrdinalIgnoreCase);

    private static bool Is(JsonObject json, string key, bool value) =>
        json[key] is JsonValue flag && flag.GetValueKind() == (value ? JsonValueKind.True : JsonValueKind.False);

    private static string? Text(JsonObject json, string key) => json[key] is JsonValue value ? Text(value) : null;

    private static string? Text(JsonValue value) =>
        value.GetValueKind() == JsonValueKind.String ? value.GetValue<string>() : null;

    private static int? Whole(JsonObject json, string key) =>
        json[key] is JsonValue value && value.TryGetValue<int>(out var number) ? number : null;
}
