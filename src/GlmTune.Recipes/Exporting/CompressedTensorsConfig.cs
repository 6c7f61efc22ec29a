using System.Text.Json.Nodes;

namespace GlmTune.Recipes.Exporting;

/// <summary>The <c>quantization_config</c> of a model in the format of compressed-tensors.</summary>
internal static class CompressedTensorsConfig
{
    /// <summary>The section of <c>config.json</c>.</summary>
    /// <param name="type">How weights are quantized.</param>
    /// <param name="groupSize">Values of a group; for integers.</param>
    /// <param name="head">Name of the output head, which is not quantized.</param>
    public static JsonObject Of(ExportedQuantization type, int groupSize, string head)
    {
        var fp8 = type == ExportedQuantization.Fp8;
        return new JsonObject
        {
            ["quant_method"] = "compressed-tensors",
            ["format"] = fp8 ? "float-quantized" : "pack-quantized",
            ["quantization_status"] = "compressed",
            ["config_groups"] = new JsonObject
            {
                ["group_0"] = new JsonObject
                {
                    ["targets"] = new JsonArray("Linear"),
                    ["weights"] = fp8
                        ? Arguments("float", 8, "channel", dynamic: false)
                        : Arguments("int", 4, "group", dynamic: false, groupSize),
                    ["input_activations"] = fp8 ? Arguments("float", 8, "token", dynamic: true) : null,
                    ["output_activations"] = null,
                },
            },
            ["ignore"] = new JsonArray(head),
            ["kv_cache_scheme"] = null,
        };
    }

    private static JsonObject Arguments(string type, int bits, string strategy, bool dynamic, int? groupSize = null) =>
        new()
        {
            ["type"] = type,
            ["num_bits"] = bits,
            ["symmetric"] = true,
            ["strategy"] = strategy,
            ["group_size"] = groupSize,
            ["dynamic"] = dynamic,
        };
}
