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

    /// <summary>none, auto, required, or <c>{"type": "function", "function": {"name": …}}</c>.</summary>
    public JsonElement? ToolChoice { get; init; }

    /// <summary>Taken, and of no effect: this model makes one call a turn.</summary>
    public bool? ParallelToolCalls { get; init; }

    /// <summary>Whether each token comes with its log probability.</summary>
    public bool? Logprobs { get; init; }

    /// <summary>How many of the likeliest tokens at each place are told; needs <c>logprobs</c>.</summary>
    public int? TopLogprobs { get; init; }

    /// <summary><c>{"type": "text"}</c>, <c>{"type": "json_object"}</c>, or <c>{"type": "json_schema", "json_schema": {"name", "schema"}}</c>.</summary>
    public JsonElement? ResponseFormat { get; init; }
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
