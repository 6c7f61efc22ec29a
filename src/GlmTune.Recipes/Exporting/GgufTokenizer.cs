using System.Globalization;
using GlmTune.Data.Tokenization;
using GlmTune.Weights.Gguf;

namespace GlmTune.Recipes.Exporting;

/// <summary>Writes a tokenizer into the metadata of a GGUF file, as byte-level byte-pair encoding of the kind that
/// llama.cpp calls <c>gpt2</c>.</summary>
internal static class GgufTokenizer
{
    private const string Prefix = "tokenizer.ggml.";

    /// <summary>Adds tokens, merges, special tokens and the chat template.</summary>
    /// <param name="metadata">Receives them.</param>
    /// <param name="tokenizer">The tokenizer.</param>
    /// <param name="preTokenizer">Name of the rule that splits text.</param>
    /// <param name="rows">Number of rows of the embedding; rows without a token are named as padding.</param>
    /// <param name="chatTemplate">The chat template, Jinja.</param>
    /// <remarks>An answer ends with the end of text, with a user's turn (end of turn), or with a tool's result (end of
    /// message: the model waits for it). Nothing is added before a text, because the chat template begins with
    /// <c>[gMASK]&lt;sop&gt;</c>.</remarks>
    public static void Write(
        GgufMetadata metadata,
        Tokenizer tokenizer,
        string preTokenizer,
        int rows,
        string chatTemplate
    )
    {
        if (tokenizer.SentencePiece is not null)
        {
            throw new InvalidDataException(
                "the tokenizer is ChatGLM3's SentencePiece, which cannot be written as GGUF. Serve the model with "
                    + "glmtune serve, or use transformers or vLLM."
            );
        }

        var special = tokenizer.Special;
        List<string> texts = [.. tokenizer.Ranks.Select(ByteAlphabet.Write)];
        List<int> kinds = [.. Enumerable.Repeat((int)Kind.Normal, texts.Count)];
        for (var id = texts.Count; id < rows; id++)
        {
            texts.Add(special.TextOf(id) ?? string.Create(CultureInfo.InvariantCulture, $"[PAD{id}]"));
            kinds.Add((int)(special.TextOf(id) is null ? Kind.Unused : Kind.Control));
        }

        metadata.Add($"{Prefix}model", "gpt2");
        metadata.Add($"{Prefix}pre", preTokenizer);
        metadata.Add($"{Prefix}tokens", texts);
        metadata.Add($"{Prefix}token_type", kinds);
        metadata.Add(
            $"{Prefix}merges",
            [.. MergeList.Of(tokenizer.Ranks).Select(merge => $"{texts[merge.Left]} {texts[merge.Right]}")]
        );
        metadata.Add($"{Prefix}eos_token_id", special.EndOfText);
        metadata.Add($"{Prefix}eot_token_id", special.User);
        metadata.Add($"{Prefix}eom_token_id", special.Observation);
        metadata.Add($"{Prefix}unknown_token_id", special.EndOfText);
        metadata.Add($"{Prefix}padding_token_id", special.Padding);
        metadata.Add($"{Prefix}add_bos_token", false);
        metadata.Add("tokenizer.chat_template", chatTemplate);
    }

    private enum Kind
    {
        Normal = 1,
        Control = 3,
        Unused = 5,
    }
}
