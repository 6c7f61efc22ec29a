using System.Text.Json;

namespace GlmTune.Server;

/// <summary>The body of <c>POST /v1/completions</c>.</summary>
internal sealed record CompletionRequest : SamplingFields
{
    /// <summary>A string, a list of strings, a list of token ids, or a list of such lists. Text is continued without a
    /// chat template, after [gMASK] and &lt;sop&gt;.</summary>
    public JsonElement? Prompt { get; init; }

    /// <summary>Whether to repeat the prompt before the answer.</summary>
    public bool? Echo { get; init; }

    /// <summary>How many of the most likely tokens to return per position, 0 to 5; null: no log
    /// probabilities.</summary>
    public int? Logprobs { get; init; }

    /// <summary>Number of answers to generate, of which the <c>n</c> with the highest mean log probability per token
    /// are returned. Not with <c>stream</c>, unless it equals <c>n</c>.</summary>
    public int? BestOf { get; init; }

    /// <summary>Not supported.</summary>
    public string? Suffix { get; init; }
}
