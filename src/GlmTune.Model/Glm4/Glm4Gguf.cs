using System.Text.RegularExpressions;
using GlmTune.Model.Exporting;

namespace GlmTune.Model.Glm4;

/// <summary>GLM-4 in llama.cpp: <c>chatglm</c> for GLM-4-9B and GLM-Edge, <c>glm4</c> for GLM-4-0414 and
/// GLM-Z1.</summary>
/// <remarks>Both have query, key and value fused or apart, whichever the checkpoint layout has, and gate and up
/// projection as one tensor, gate first. A missing output head is the embedding.</remarks>
internal static partial class Glm4Gguf
{
    private static readonly Dictionary<string, string> Outer = new(StringComparer.Ordinal)
    {
        [Glm4WeightNames.Embedding] = "token_embd.weight",
        ["model.embed_tokens.weight"] = "token_embd.weight",
        ["transformer.encoder.final_layernorm.weight"] = "output_norm.weight",
        ["model.norm.weight"] = "output_norm.weight",
        [Glm4WeightNames.Head] = "output.weight",
        ["lm_head.weight"] = "output.weight",
    };

    private static readonly Dictionary<string, string> InLayer = new(StringComparer.Ordinal)
    {
        ["input_layernorm"] = "attn_norm",
        ["self_attention.query_key_value"] = "attn_qkv",
        ["self_attn.q_proj"] = "attn_q",
        ["self_attn.k_proj"] = "attn_k",
        ["self_attn.v_proj"] = "attn_v",
        ["self_attention.dense"] = "attn_output",
        ["self_attn.o_proj"] = "attn_output",
        ["post_self_attn_layernorm"] = "post_attention_norm",
        ["post_attention_layernorm"] = "ffn_norm",
        ["mlp.dense_h_to_4h"] = "ffn_up",
        ["mlp.gate_up_proj"] = "ffn_up",
        ["mlp.dense_4h_to_h"] = "ffn_down",
        ["mlp.down_proj"] = "ffn_down",
        ["post_mlp_layernorm"] = "post_ffw_norm",
    };

    /// <summary>The architecture for a configuration.</summary>
    /// <exception cref="InvalidDataException">llama.cpp has no such model.</exception>
    public static GgufArchitecture Of(Glm4Config config)
    {
        if (config.QueryHeads * config.HeadDim != config.HiddenSize)
        {
            throw new InvalidDataException(
                $"{config.QueryHeads} query heads of {config.HeadDim} are {config.QueryHeads * config.HeadDim} "
                    + $"features, but the hidden size is {config.HiddenSize}; llama.cpp expects them to be equal in "
                    + "this architecture, so the model cannot be written as GGUF."
            );
        }

        return config.OutputNorms
            // llama.cpp sets the precision of these two products, and aborts where an adapter is added to them.
            ? new GgufArchitecture("glm4", "glm4", TensorName)
            {
                WithoutAdapters = ["attn_output.weight", "ffn_down.weight"],
            }
            : new GgufArchitecture("chatglm", "chatglm-bpe", TensorName);
    }

    private static string? TensorName(string name) =>
        Outer.GetValueOrDefault(name)
        ?? (
            Layer().Match(name) is { Success: true } match
            && InLayer.TryGetValue(match.Groups["module"].Value, out var module)
                ? $"blk.{match.Groups["layer"].Value}.{module}.{match.Groups["kind"].Value}"
                : null
        );

    [GeneratedRegex(
        @"^(?:transformer\.encoder|model)\.layers\.(?<layer>\d+)\.(?<module>.+)\.(?<kind>weight|bias)$",
        RegexOptions.CultureInvariant
    )]
    private static partial Regex Layer();
}
