using System.Text.Json;

namespace GlmTune.Server;

/// <summary>The body of <c>POST /v1/chat/completions</c>.</summary>
internal sealed record ChatCompletionRequest : SamplingFields
{
    /// <summary>The conversation; it ends with a message of the user or of a tool.</summary>
    public IReadOnlyList<RequestMessage?>? Messages { get; init; }

    /// <summary>Most tokens of an answer; the newer name.</summary>
    public int? MaxCompletionTokens { get; init; }

    /// <summary>What the model may call.</summary>
    public IReadOnlyList<JsonElement>? Tools { get; init; }

    /// <summary>none, auto, required, <c>{"type": "function", "function": {"name": …}}</c>, or <c>{"type":
    /// "allowed_tools", "allowed_tools": {"mode", "tools"}}</c>.</summary>
    public JsonElement? ToolChoice { get; init; }

    /// <summary>Taken, and of no effect: this model makes one call a turn.</summary>
    public bool? ParallelToolCalls { get; init; }

    /// <summary>Whether each token comes with its log probability.</summary>
    public bool? Logprobs { get; init; }

    /// <summary>How many of the likeliest tokens at each place are told; needs <c>logprobs</c>.</summary>
    public int? TopLogprobs { get; init; }

    /// <summary><c>{"type": "text"}</c>, <c>{"type": "json_object"}</c>, or <c>{"type": "json_schema", "json_schema":
    /// {"name", "schema"}}</c>.</summary>
    public JsonElement? ResponseFormat { get; init; }

    /// <summary>Taken, and of no effect: nothing is stored.</summary>
    public JsonElement? Store { get; init; }

    /// <summary>Taken, and of no effect.</summary>
    public JsonElement? Metadata { get; init; }

    /// <summary>Taken, and of no effect.</summary>
    public JsonElement? ServiceTier { get; init; }

    /// <summary>Taken, and of no effect.</summary>
    public JsonElement? SafetyIdentifier { get; init; }

    /// <summary>Taken, and of no effect: prompts that begin alike share what is cached by themselves.</summary>
    public JsonElement? PromptCacheKey { get; init; }

    /// <summary>Taken, and of no effect.</summary>
    public JsonElement? PromptCacheRetention { get; init; }

    /// <summary>Taken, and of no effect: it would only make an answer come sooner.</summary>
    public JsonElement? Prediction { get; init; }

    /// <summary>Taken, and of no effect: this model does not reason before it answers.</summary>
    public JsonElement? ReasoningEffort { get; init; }

    /// <summary>Taken, and of no effect: say in the prompt how long answers should be.</summary>
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

    /// <summary>Reports fields that ask for unsupported features, so that no answer differs from what was
    /// meant.</summary>
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

    /// <summary>Of an assistant: the calls that it made.</summary>
    public IReadOnlyList<RequestToolCall?>? ToolCalls { get; init; }

    /// <summary>Of a tool: the call that it answers.</summary>
    public string? ToolCallId { get; init; }

    /// <summary>Of an assistant: what it said instead of an answer; read as its content where there is none.</summary>
    public string? Refusal { get; init; }

    /// <summary>Taken, and of no effect: the model's format has no names of people.</summary>
    public JsonElement? Name { get; init; }

    /// <summary>Not supported: use <c>tool_calls</c>.</summary>
    public JsonElement? FunctionCall { get; init; }

    /// <summary>Not supported.</summary>
    public JsonElement? Audio { get; init; }
}

/// <summary>A call that an assistant made.</summary>
internal sealed record RequestToolCall
{
    /// <summary>As the server gave it.</summary>
    public string? Id { get; init; }

    /// <summary>function.</summary>
    public string? Type { get; init; }

    /// <summary>What was called, with what.</summary>
    public RequestFunction? Function { get; init; }
}

/// <summary>What was called, with what.</summary>
internal sealed record RequestFunction
{
    /// <summary>The tool's name.</summary>
    public string? Name { get; init; }

    /// <summary>The arguments as JSON text.</summary>
    public string? Arguments { get; init; }
}
