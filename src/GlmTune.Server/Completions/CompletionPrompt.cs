using System.Text.Json;
using GlmTune.Data.Tokenization;

namespace GlmTune.Server;

/// <summary>The prompts of a completion request.</summary>
/// <param name="Ids">What the model continues.</param>
/// <param name="Text">The same as text, for echo.</param>
internal sealed record CompletionPrompt(int[] Ids, string Text)
{
    /// <exception cref="ApiException">400: it is of no known form, or too long.</exception>
    public static IReadOnlyList<CompletionPrompt> Read(JsonElement? prompt, ServedModel model, ServerLimits limits)
    {
        var tokenizer = model.Chat.Template.Tokenizer;
        IReadOnlyList<CompletionPrompt> prompts = prompt switch
        {
            { ValueKind: JsonValueKind.String } text => [OfText(Words.Of(text, "prompt"), tokenizer)],
            { ValueKind: JsonValueKind.Array } list when list.GetArrayLength() > 0 && list[0].ValueKind == JsonValueKind.Number => [OfIds(list, "prompt", tokenizer)],
            { ValueKind: JsonValueKind.Array } list when list.GetArrayLength() > 0 && list.GetArrayLength() <= limits.Choices =>
                [.. list.EnumerateArray().Index().Select(item => item.Item.ValueKind == JsonValueKind.String ? OfText(Words.Of(item.Item, $"prompt[{item.Index}]"), tokenizer) : OfIds(item.Item, $"prompt[{item.Index}]", tokenizer))],
            { ValueKind: JsonValueKind.Array } list when list.GetArrayLength() > 0 => throw ApiException.Wrong("prompt", $"'prompt' has {list.GetArrayLength()} prompts; expected at most {limits.Choices}."),
            _ => throw ApiException.Wrong("prompt", "'prompt' must be a text, a list of texts, a list of token ids, or a list of such lists; not empty."),
        };
        foreach (var one in prompts)
        {
            PromptLength.Check(one.Ids.Length, model, limits, "prompt");
        }

        return prompts;
    }

    private static CompletionPrompt OfText(string text, Tokenizer tokenizer) => new([tokenizer.Special.GMask, tokenizer.Special.Sop, .. tokenizer.Encode(text)], text);

    private static CompletionPrompt OfIds(JsonElement list, string param, Tokenizer tokenizer)
    {
        if (list.ValueKind != JsonValueKind.Array || list.GetArrayLength() == 0)
        {
            throw ApiException.Wrong(param, $"'{param}' is {RequestBody.Kind(list)}; expected a text or a list of token ids, not empty.");
        }

        var ids = new List<int>(list.GetArrayLength());
        foreach (var item in list.EnumerateArray())
        {
            ids.Add(item.ValueKind == JsonValueKind.Number && item.TryGetInt32(out var id) && id >= 0 && id < tokenizer.Count ? id
                : throw ApiException.Wrong(param, $"'{param}' holds {RequestBody.Kind(item)}; expected token ids from 0 to {tokenizer.Count - 1}."));
        }

        return new CompletionPrompt([.. ids], tokenizer.Decode(ids.ToArray()));
    }
}
