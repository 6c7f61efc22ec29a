using System.Text.Json.Serialization;
using GlmTune.Inference;

namespace GlmTune.Server;

/// <summary>A complete response of <c>/v1/chat/completions</c>.</summary>
internal sealed record ChatCompletion(
    string Id,
    long Created,
    string Model,
    IReadOnlyList<ChatChoice> Choices,
    Usage Usage
)
{
    public string Object { get; } = "chat.completion";

    public required string SystemFingerprint { get; init; }
}

/// <summary>One of <c>n</c> answers.</summary>
internal sealed record ChatChoice(int Index, ChatChoiceMessage Message, string FinishReason, ChatLogprobs? Logprobs);

/// <summary>The model's message: text, or calls.</summary>
internal sealed record ChatChoiceMessage(string? Content)
{
    public string Role { get; } = "assistant";

    public string? Refusal { get; }

    /// <summary>The thoughts before the answer, under the name that DeepSeek's server and others use; omitted if there
    /// are none.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? ReasoningContent { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public IReadOnlyList<AnsweredCall>? ToolCalls { get; init; }
}

/// <summary>A call made by the model.</summary>
internal sealed record AnsweredCall(string Id, AnsweredFunction Function)
{
    public string Type { get; } = "function";
}

/// <summary>The function and its arguments as JSON text.</summary>
internal sealed record AnsweredFunction(string Name, string Arguments);

/// <summary>Log probabilities of an answer's tokens.</summary>
internal sealed record ChatLogprobs(IReadOnlyList<TokenLogprob> Content)
{
    public string? Refusal { get; }
}

/// <summary>A token, its text (U+FFFD if it is part of a character), its bytes, and the natural logarithm of its
/// probability.</summary>
internal record LikelyToken(string Token, double Logprob, IReadOnlyList<int> Bytes);

/// <summary>A token of the answer, and the most likely tokens at its position.</summary>
internal sealed record TokenLogprob(
    string Token,
    double Logprob,
    IReadOnlyList<int> Bytes,
    IReadOnlyList<LikelyToken> TopLogprobs
) : LikelyToken(Token, Logprob, Bytes);

/// <summary>Token counts; those of answers include stop tokens.</summary>
internal sealed record Usage(int PromptTokens, int CompletionTokens)
{
    public int TotalTokens => PromptTokens + CompletionTokens;

    public PromptTokensDetails PromptTokensDetails { get; init; } = new(0);

    /// <summary>Omitted if the model had no thoughts.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public CompletionTokensDetails? CompletionTokensDetails { get; init; }

    public static Usage Of(ChatAnswer answer) =>
        new(answer.PromptTokens, answer.AnswerTokens)
        {
            PromptTokensDetails = new(answer.CachedTokens),
            CompletionTokensDetails = CompletionTokensDetails.Of(answer.ReasoningTokens),
        };

    /// <summary>For all answers to one request; the prompt is counted once.</summary>
    public static Usage Of(IEnumerable<Usage> choices)
    {
        var all = choices.ToList();
        return new Usage(all[0].PromptTokens, all.Sum(usage => usage.CompletionTokens))
        {
            PromptTokensDetails = all[0].PromptTokensDetails,
            CompletionTokensDetails = CompletionTokensDetails.Of(
                all.Sum(usage => usage.CompletionTokensDetails?.ReasoningTokens ?? 0)
            ),
        };
    }
}

/// <summary>Number of prompt tokens found in the KV cache, which were not processed again.</summary>
internal sealed record PromptTokensDetails(int CachedTokens);

/// <summary>Number of generated tokens that belong to the thoughts before answers.</summary>
internal sealed record CompletionTokensDetails(int ReasoningTokens)
{
    /// <summary>Null if there are none.</summary>
    public static CompletionTokensDetails? Of(int reasoning) => reasoning == 0 ? null : new(reasoning);
}
