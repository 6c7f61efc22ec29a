using System.Text.Json;
using GlmTune.Data.Tokenization;

namespace GlmTune.Server;

/// <summary>A prompt of a completion request.</summary>
/// <param name="Ids">Token ids that the model continues.</param>
/// <param name="Text">The same as text, for echo.</param>
internal sealed record CompletionPrompt(int[] Ids, string Text);

/// <summary>A prompt as given in a request: text, or token ids.</summary>
/// <param name="Text">The text; null for token ids.</param>
/// <param name="Ids">The token ids; null for text.</param>
/// <param name="Param">Location in the request.</param>
internal sealed record GivenPrompt(string? Text, int[]? Ids, string Param)
{
    /// <exception cref="ApiException">400: the field has an unknown form.</exception>
    public static IReadOnlyList<GivenPrompt> ReadAll(JsonElement? prompt, ServedModel model, ServerLimits limits)
    {
        var tokenizer = model.Chat.Template.Tokenizer;
        return prompt switch
        {
            { ValueKind: JsonValueKind.String } text => [new GivenPrompt(text.GetString()!, null, "prompt")],
            { ValueKind: JsonValueKind.Array } list
                when list.GetArrayLength() > 0 && list[0].ValueKind == JsonValueKind.Number =>
            [
                OfIds(list, "prompt", tokenizer),
            ],
            { ValueKind: JsonValueKind.Array } list when list.GetArrayLength() > limits.Choices =>
                throw ApiException.Wrong(
                    "prompt",
                    $"'prompt' has {list.GetArrayLength()} prompts; expected at most {limits.Choices}."
                ),
            { ValueKind: JsonValueKind.Array } list when list.GetArrayLength() > 0 =>
            [
                .. list.EnumerateArray().Index().Select(item => Of(item.Item, $"prompt[{item.Index}]", tokenizer)),
            ],
            _ => throw ApiException.Wrong(
                "prompt",
                "'prompt' must be a non-empty string, list of strings, list of token ids, or list of such " + "lists."
            ),
        };
    }

    /// <summary>The prompt's tokens and text.</summary>
    /// <exception cref="ApiException">400: the prompt is too long.</exception>
    public CompletionPrompt Tokenized(ServedModel model, ServerLimits limits)
    {
        var tokenizer = model.Chat.Template.Tokenizer;
        var ids = Ids ?? [tokenizer.Special.GMask, tokenizer.Special.Sop, .. tokenizer.Encode(Text!)];
        PromptLength.Check(ids.Length, model, limits, Param);
        return new CompletionPrompt(ids, Text ?? tokenizer.Decode(ids));
    }

    private static GivenPrompt Of(JsonElement prompt, string param, Tokenizer tokenizer) =>
        prompt.ValueKind == JsonValueKind.String
            ? new GivenPrompt(prompt.GetString()!, null, param)
            : OfIds(prompt, param, tokenizer);

    private static GivenPrompt OfIds(JsonElement list, string param, Tokenizer tokenizer)
    {
        if (list.ValueKind != JsonValueKind.Array || list.GetArrayLength() == 0)
        {
            throw ApiException.Wrong(
                param,
                $"'{param}' is {RequestBody.Kind(list)}; expected a string or a non-empty list of token ids."
            );
        }

        var ids = new List<int>(list.GetArrayLength());
        foreach (var item in list.EnumerateArray())
        {
            ids.Add(
                item.ValueKind == JsonValueKind.Number
                && item.TryGetInt32(out var id)
                && id >= 0
                && id < tokenizer.Count
                    ? id
                    : throw ApiException.Wrong(
                        $"{param}[{ids.Count}]",
                        $"'{param}' contains {RequestBody.Kind(item)}; expected token ids from 0 to "
                            + $"{tokenizer.Count - 1}."
                    )
            );
        }

        return new GivenPrompt(null, [.. ids], param);
    }
}
