using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using GlmTune.Data.Templates;
using GlmTune.Data.Tokenization;

namespace GlmTune.SampleData.Models;

/// <summary>The files of models/glm-nano but its weights: sizes in the original checkpoint layout, tokenizer,
/// generation defaults.</summary>
internal static class NanoModelFolder
{
    private const int RankCount = 2032;
    private const int PaddedVocabulary = 2048; // ranks and special tokens, up to a multiple of 64
    private const int LongestToken = 9; // bytes: three Chinese characters
    private const int OneInTools = 10; // rows with tools whose definitions the tokenizer is trained on
    private const int SequenceLength = 2048;

    private static readonly JsonSerializerOptions Indented = new()
    {
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        WriteIndented = true,
        NewLine = "\n",
    };

    private static JsonArray Stops => [IdOf("<|endoftext|>"), IdOf("<|user|>"), IdOf("<|observation|>")];

    /// <summary>Trains the tokenizer and gives each file's name and bytes.</summary>
    /// <param name="conversations">What the tokenizer is trained on.</param>
    public static IEnumerable<(string Name, byte[] Content)> Write(IEnumerable<Conversation> conversations)
    {
        var ranks = Tokenization.BytePairTrainer.Train(Texts(conversations), RankCount, LongestToken);
        yield return ("tokenizer.model", TokenRanks.Format(ranks));
        yield return ("tokenizer_config.json", Json(TokenizerConfig()));
        yield return ("generation_config.json", Json(GenerationConfig()));
        yield return ("config.json", Json(Config()));
    }

    // What the tokenizer will meet: contents, and the tools as the template prints them.
    private static IEnumerable<string> Texts(IEnumerable<Conversation> conversations)
    {
        var withTools = 0;
        foreach (var conversation in conversations)
        {
            // The same few definitions stand in every such row; all of them would take the merges that the rest needs.
            if (conversation.Tools is { } tools && withTools++ % OneInTools == 0)
            {
                yield return ChatTemplate.ToolPreamble;
                foreach (var function in tools.Select(tool => tool["function"]!))
                {
                    var definition = PythonJson.Rewrite(function.ToJsonString(), indent: 4);
                    yield return $"\n\n## {function["name"]}\n\n{definition}\n{ChatTemplate.AfterTool}";
                }
            }

            foreach (var message in conversation.Messages)
            {
                yield return $"{message.Metadata}\n";
                yield return message.Content;
            }
        }
    }

    private static JsonObject Config() =>
        new()
        {
            ["model_type"] = "chatglm",
            ["architectures"] = new JsonArray("ChatGLMModel"),
            ["num_layers"] = 6,
            ["num_hidden_layers"] = 6,
            ["hidden_size"] = 192,
            ["num_attention_heads"] = 6,
            ["kv_channels"] = 32,
            ["multi_query_attention"] = true,
            ["multi_query_group_num"] = 2,
            ["ffn_hidden_size"] = 512,
            ["padded_vocab_size"] = PaddedVocabulary,
            ["vocab_size"] = PaddedVocabulary,
            ["seq_length"] = SequenceLength,
            ["rope_ratio"] = 1,
            ["original_rope"] = true,
            ["layernorm_epsilon"] = 1.5625e-07,
            ["rmsnorm"] = true,
            ["post_layer_norm"] = true,
            ["add_qkv_bias"] = true,
            ["add_bias_linear"] = false,
            ["apply_query_key_layer_scaling"] = true,
            ["apply_residual_connection_post_layernorm"] = false,
            ["attention_softmax_in_fp32"] = true,
            ["fp32_residual_connection"] = false,
            ["attention_dropout"] = 0.0,
            ["hidden_dropout"] = 0.0,
            ["bias_dropout_fusion"] = true,
            ["tie_word_embeddings"] = false,
            ["use_cache"] = true,
            ["torch_dtype"] = "bfloat16",
            ["eos_token_id"] = Stops,
            ["pad_token_id"] = IdOf("<|endoftext|>"),
        };

    private static JsonObject GenerationConfig() =>
        new()
        {
            ["eos_token_id"] = Stops,
            ["pad_token_id"] = IdOf("<|endoftext|>"),
            ["do_sample"] = true,
            ["temperature"] = 0.8,
            ["top_p"] = 0.8,
            ["max_length"] = SequenceLength,
        };

    private static JsonObject TokenizerConfig()
    {
        var added = new JsonObject();
        foreach (var token in SpecialTokens.Glm4Order)
        {
            added[$"{IdOf(token)}"] = new JsonObject
            {
                ["content"] = token,
                ["lstrip"] = false,
                ["normalized"] = false,
                ["rstrip"] = false,
                ["single_word"] = false,
                ["special"] = true,
            };
        }

        return new()
        {
            ["added_tokens_decoder"] = added,
            ["additional_special_tokens"] = new JsonArray([
                .. SpecialTokens.Glm4Order.Select(token => JsonValue.Create(token)),
            ]),
            ["chat_template"] = ChatTemplate.Jinja,
            ["clean_up_tokenization_spaces"] = false,
            ["do_lower_case"] = false,
            ["eos_token"] = "<|endoftext|>",
            ["pad_token"] = "<|endoftext|>",
            ["model_max_length"] = SequenceLength,
            ["padding_side"] = "left",
            ["remove_space"] = false,
            ["tokenizer_class"] = "ChatGLM4Tokenizer",
        };
    }

    private static int IdOf(string special) => SpecialTokens.After(RankCount).All[special];

    private static byte[] Json(JsonObject content) => Encoding.UTF8.GetBytes($"{content.ToJsonString(Indented)}\n");
}
