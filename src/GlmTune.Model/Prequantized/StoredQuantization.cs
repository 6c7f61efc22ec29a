using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace GlmTune.Model.Prequantized;

/// <summary>How the weights of a model's files are quantized, according to its <c>config.json</c>.</summary>
/// <param name="Name">Method and type, such as "bitsandbytes nf4".</param>
/// <param name="BytesPerElement">Memory of a weight of a decoder layer, in bytes for each element.</param>
internal sealed record StoredQuantization(string Name, double BytesPerElement)
{
    private const int TileSize = 128;

    /// <summary>Rows and columns that share a scale in fp8; null: tiles are not used.</summary>
    public (int Rows, int Columns)? Tile { get; init; }

    /// <summary>Reads the configuration.</summary>
    /// <param name="json">The contents of <c>config.json</c>.</param>
    /// <param name="unsupported">Why the quantization cannot be read, in a few words; null if it can, or if there is
    /// none.</param>
    /// <returns>Null if there is none, or if it cannot be read.</returns>
    public static StoredQuantization? Read(JsonObject json, out string? unsupported)
    {
        unsupported = null;
        if (json["quantization_config"] is not JsonObject config)
        {
            return null;
        }

        List<string> reasons = [];
        var found = Text(config, "quant_method") switch
        {
            "bitsandbytes" => OfBitsAndBytes(config),
            "compressed-tensors" => OfCompressedTensors(config, reasons),
            "fp8" => OfTiles("fp8", config["weight_block_size"]),
            "fbgemm_fp8" => new StoredQuantization("fbgemm_fp8", 1),
            _ => null,
        };
        unsupported =
            reasons.Count > 0 ? string.Join(", ", reasons)
            : found is null ? ""
            : null;
        return unsupported is null ? found : null;
    }

    private static StoredQuantization? OfBitsAndBytes(JsonObject config)
    {
        if (!IsTrue(config, "load_in_4bit") && !IsTrue(config, "_load_in_4bit"))
        {
            return null;
        }

        // Half a byte, and the scale of a block of 64: a byte with a scale of its own for 256 of them, or a float32.
        var scale = IsTrue(config, "bnb_4bit_use_double_quant") ? 1 + (4.0 / 256) : 4;
        return new($"bitsandbytes {Text(config, "bnb_4bit_quant_type") ?? "fp4"}", 0.5 + (scale / 64));
    }

    private static StoredQuantization? OfCompressedTensors(JsonObject config, List<string> reasons)
    {
        if (config["kv_cache_scheme"] is JsonObject)
        {
            reasons.Add("kv_cache_scheme");
        }

        if (config["sparsity_config"] is JsonObject sparsity && Text(sparsity, "format") is not (null or "dense"))
        {
            reasons.Add("sparsity_config");
        }

        StoredQuantization? found = null;
        foreach (var (name, group) in config["config_groups"] as JsonObject ?? [])
        {
            var each = (group as JsonObject)?["weights"] is JsonObject weights ? OfWeights(weights) : null;
            if (each is null)
            {
                reasons.Add($"config_groups.{name}");
            }

            found = found is null || each?.BytesPerElement > found.BytesPerElement ? each : found;
        }

        return found;
    }

    private static StoredQuantization? OfWeights(JsonObject weights)
    {
        const string Method = "compressed-tensors";
        var (type, bits, strategy) = (Text(weights, "type"), Whole(weights, "num_bits"), Text(weights, "strategy"));
        var plain =
            weights["actorder"] is null && weights["symmetric"] is not JsonValue { } flag
                ? true
                : weights["actorder"] is null && IsTrue(weights, "symmetric");
        return (type, bits, strategy) switch
        {
            _ when !plain => null,
            ("float", 8, "channel" or "tensor") => new($"{Method} fp8", 1),
            ("float", 8, "block") => OfTiles($"{Method} fp8", weights["block_structure"]),
            ("int", 8, "channel" or "tensor") => new($"{Method} int8", 1),
            ("int", 4, "channel") => new($"{Method} int4", 0.5),
            ("int", 4, "group") => new($"{Method} int4", 0.5 + (4.0 / (Whole(weights, "group_size") ?? 128))),
            _ => null,
        };
    }

    private static StoredQuantization OfTiles(string name, JsonNode? sizes) =>
        new(name, 1)
        {
            Tile =
                sizes is JsonArray { Count: 2 } pair
                && pair[0] is JsonValue rows
                && pair[1] is JsonValue columns
                && rows.TryGetValue<int>(out var height)
                && columns.TryGetValue<int>(out var width)
                && height > 0
                && width > 0
                    ? (height, width)
                    : (TileSize, TileSize),
        };

    private static bool IsTrue(JsonObject json, string key) =>
        json[key] is JsonValue value && value.GetValueKind() == JsonValueKind.True;

    private static string? Text(JsonObject json, string key) =>
        json[key] is JsonValue value && value.TryGetValue<string>(out var text) ? text : null;

    private static int? Whole(JsonObject json, string key) =>
        json[key] is JsonValue value && value.TryGetValue<int>(out var number) && number > 0 ? number : null;

    /// <inheritdoc/>
    public override string ToString() =>
        string.Create(CultureInfo.InvariantCulture, $"{Name}, {8 * BytesPerElement:0.##} bits a weight");
}
