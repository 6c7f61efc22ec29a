using System.Text.Json;

namespace GlmTune.Server;

/// <summary>Whether a tool may, must, or must not be called.</summary>
/// <param name="MayCall">Whether the tools are shown at all.</param>
/// <param name="MustCall">Whether the answer is a call for certain.</param>
/// <param name="Name">The one tool that may be called; null for any.</param>
internal sealed record ToolChoice(bool MayCall, bool MustCall, string? Name)
{
    /// <exception cref="ApiException">400: it is none of the known forms.</exception>
    public static ToolChoice Read(JsonElement? choice)
    {
        switch (choice)
        {
            case null or { ValueKind: JsonValueKind.Null }:
                return new ToolChoice(true, false, null);
            case { ValueKind: JsonValueKind.String } word:
                return Words.Of(word, "tool_choice") switch
                {
                    "none" => new ToolChoice(false, false, null),
                    "auto" => new ToolChoice(true, false, null),
                    "required" => new ToolChoice(true, true, null),
                    var other => throw ApiException.Wrong("tool_choice", $"'tool_choice' is '{Shown.Of(other)}'; expected none, auto, required or a function."),
                };
            case { ValueKind: JsonValueKind.Object } named when named.TryGetProperty("function", out var function) && function.ValueKind == JsonValueKind.Object
                && function.TryGetProperty("name", out var name) && name.ValueKind == JsonValueKind.String:
                return new ToolChoice(true, true, Words.Of(name, "tool_choice.function.name"));
            case { } other:
                throw ApiException.Wrong("tool_choice", $"'tool_choice' is {RequestBody.Kind(other)}; expected none, auto, required, or {{\"type\": \"function\", \"function\": {{\"name\": …}}}}.");
        }
    }

    /// <summary>The tools that are shown.</summary>
    /// <exception cref="ApiException">400: a call is required, but there is nothing to call.</exception>
    public IReadOnlyList<RequestTool> Select(IReadOnlyList<RequestTool> tools)
    {
        IReadOnlyList<RequestTool> shown = !MayCall ? [] : Name is null ? tools : [.. tools.Where(tool => tool.Definition.Name == Name)];
        return !MustCall || shown.Count > 0 ? shown
            : throw ApiException.Wrong("tool_choice", Name is null ? "'tool_choice' requires a call, but 'tools' is empty." : $"'tool_choice' requires '{Shown.Of(Name)}', which 'tools' doesn't have.");
    }
}
