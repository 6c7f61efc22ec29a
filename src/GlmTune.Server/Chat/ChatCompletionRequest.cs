using System.Text.Json;

namespace GlmTune.Server;

/// <summary>The body of <c>POST /v1/chat/completions</c>.</summary>
internal sealed record ChatCompletionRequest : SamplingFields
{
    /// <summary>The conversation; the last message must be from a user or a tool.</summary>
    public IReadOnlyList<RequestMessage?>? Messages { get; init; }

    /// <summary>Maximum tokens per answer; the newer name.</summary>
    public int? MaxCompletionTokens { get; init; }

    /// <summary>The tools that the model may call.</summary>
    public IReadOnlyList<JsonElement>? Tools { get; init; }

    /// <summary>none, auto, required, <c>{"type": "function", "function": {"name": …}}</c>, or <c>{"type":
    /// "allowed_tools", "allowed_tools": {"mode", "tools"}}</c>.</summary>
    public JsonElement? ToolChoice { get; init; }

    /// <summary>Accepted without effect: this model makes one call per turn.</summary>
    public bool? ParallelToolCalls { get; init; }

    /// <summary>Whether to return the log probability of each token.</summary>
    public bool? Logprobs { get; init; }

    /// <summary>How many of the most likely tokens to return per position; requires <c>logprobs</c>.</summary>
    public int? TopLogprobs { get; init; }

    /// <summary><c>{"type": "text"}</c>, <c>{"type": "json_object"}</c>, or <c>{"type": "json_schema", "json_schema":
    /// {"name", "schema"}}</c>.</summary>
    public JsonElement? ResponseFormat { get; init; }

    /// <summary>Accepted without effect: nothing is stored.</summary>
    public JsonElement? Store { get; init; }

    /// <summary>Accepted without effect.</summary>
    public JsonElement? Metadata { get; init; }

    /// <summary>Accepted without effect.</summary>
    public JsonElement? ServiceTier { get; init; }

    /// <summary>Accepted without effect.</summary>
    public JsonElement? SafetyIdentifier { get; init; }

    /// <summary>Accepted without effect: prompts with a common prefix share the KV cache automatically.</summary>
    public JsonElement? PromptCacheKey { get; init; }

    /// <summary>Accepted without effect.</summary>
    public JsonElement? PromptCacheRetention { get; init; }

    /// <summary>Accepted without effect: it could only make an answer faster.</summary>
    public JsonElement? Prediction { get; init; }

    /// <summary>Accepted without effect: a model that thinks before it answers decides itself how long.</summary>
    public JsonElement? ReasoningEffort { get; init; }

    /// <summary>Accepted without effect: state the desired length in the prompt.</summary>
    public JsonElement? Verbosity { get; init; }

    /// <summary>Only <c>["text"]</c> is supported.</summary>
    public JsonElement? Modalities { get; init; }

    /// <summary>Not supported.</summary>
    public JsonElement? Audio { get; init; }

    /// <summary>Not supported.</summary>
    public JsonElement? WebSearchOptions { get; init; }

    /// <summary>Not supported: use <c>tools</c>.</summary>
    public JsonElement? Functions { get; init; }

    /// <summary>Not supported: use <c>tool_choice</c>.</summary>
    public JsonElement? FunctionCall { get; init; }

    /// <summary>Reports fields that request unsupported features, so that no answer silently differs from what was
    /// requested.</summary>
    public void CheckUnsupported(FieldProblems problems)
    {
        problems.Check(
            IsNull(Modalities)
                || (
                    Modalities is { ValueKind: JsonValueKind.Array } list
                    && list.EnumerateArray()
                        .All(item => item.ValueKind == JsonValueKind.String && item.ValueEquals("text"))
                ),
            "modalities",
            "must be [\"text\"]: this model answers in text"
        );
        problems.Check(IsNull(Audio), "audio", "is not supported: this model answers in text");
        problems.Check(
            IsNull(WebSearchOptions),
            "web_search_options",
            "is not supported: declare a search tool and run it yourself"
        );
        problems.Check(IsNull(Functions), "functions", "is not supported: declare them as tools");
        problems.Check(IsNull(FunctionCall), "function_call", "is not supported: use tool_choice");
    }

    private static bool IsNull(JsonElement? field) => field is null or { ValueKind: JsonValueKind.Null };
}

/// <summary>A message of a request.</summary>
internal sealed record RequestMessage
{
    /// <summary>system, developer, user, assistant or tool.</summary>
    public string? Role { get; init; }

    /// <summary>A string, a list of text parts, or null.</summary>
    public JsonElement? Content { get; init; }

    /// <summary>For an assistant message: the calls that it made.</summary>
    public IReadOnlyList<RequestToolCall?>? ToolCalls { get; init; }

    /// <summary>For a tool message: the id of the call that it answers.</summary>
    public string? ToolCallId { get; init; }

    /// <summary>For an assistant message: a refusal, used as content if there is none.</summary>
    public string? Refusal { get; init; }

    /// <summary>For an assistant message: the thoughts before it, which a model's template leaves out of earlier
    /// turns.</summary>
    public string? ReasoningContent { get; init; }

    /// <summary>Another name of <see cref="ReasoningContent"/>.</summary>
    public string? Reasoning { get; init; }

    /// <summary>Accepted without effect: the model's format has no names of participants.</summary>
    public JsonElement? Name { get; init; }

    /// <summary>Not supported: use <c>tool_calls</c>.</summary>
    public JsonElement? FunctionCall { get; init; }

    /// <summary>Not supported.</summary>
    public JsonElement? Audio { get; init; }
}

/// <summary>A call made by the assistant.</summary>
internal sealed record RequestToolCall
{
    /// <summary>The id that the server assigned.</summary>
    public string? Id { get; init; }

    /// <summary>Must be <c>function</c>.</summary>
    public string? Type { get; init; }

    /// <summary>The function and its arguments.</summary>
    public RequestFunction? Function { get; init; }
}

/// <summary>The function and its arguments.</summary>
internal sealed record RequestFunction
{
    /// <summary>Name of the tool.</summary>
    public string? Name { get; init; }

    /// <summary>The arguments as JSON text.</summary>
    public string? Arguments { get; init; }
}
