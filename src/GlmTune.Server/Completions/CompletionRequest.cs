using System.Text.Json;

namespace GlmTune.Server;

/// <summary>The body of <c>POST /v1/completions</c>.</summary>
internal sealed record CompletionRequest : SamplingFields
{
    /// <summary>A text, a list of texts, a list of token ids, or a list of such lists. Texts are continued as they are;
    /// [gMASK] and &lt;sop&gt; are put before them.</summary>
    public JsonElement? Prompt { get; init; }

    /// <summary>Whether the prompt stands before the answer.</summary>
    public bool? Echo { get; init; }

    /// <summary>How many of the likeliest tokens at each place are told, 0 to 5; null: no log probabilities.</summary>
    public int? Logprobs { get; init; }

    /// <summary>So many answers are made, of which the <c>n</c> are told whose tokens have the highest log probability
    /// in the mean; not with <c>stream</c>, unless it equals <c>n</c>.</summary>
    public int? BestOf { get; init; }

    /// <summary>Not supported.</summary>
    public string? Suffix { get; init; }
}
