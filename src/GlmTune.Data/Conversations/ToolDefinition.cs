using System.Text.Json;
using GlmTune.Data.Templates;

namespace GlmTune.Data.Conversations;

/// <summary>A tool that a system message declares.</summary>
/// <param name="Type"><c>function</c>, or one of the model's own tools: <c>python</c>, <c>simple_browser</c>,
/// <c>cogview</c>.</param>
/// <param name="Name">The function's name; the type for the model's own tools.</param>
/// <param name="Json">What the prompt shows of a function: the raw JSON of its object, as the file has it; empty for
/// the model's own tools.</param>
public sealed record ToolDefinition(string Type, string Name, string Json)
{
    /// <summary>The tool of the model's own whose arguments are code.</summary>
    public const string Python = "python";

    /// <summary>The tools that the model has of its own, which take no definition.</summary>
    public static IReadOnlyList<string> BuiltIn { get; } = [Python, "simple_browser", "cogview"];

    /// <summary>Reads a tool in either shape of the demo's README.</summary>
    /// <param name="tool"><c>{"type": "function", "function": {"name", …}}</c>, a function's object alone (<c>{"name",
    /// "args" | "parameters", …}</c>), or <c>{"type": "python"}</c> and the like.</param>
    /// <exception cref="InvalidDataException">It has another shape; the message says which was found.</exception>
    /// <exception cref="InvalidOperationException">A string in it holds an unpaired surrogate.</exception>
    public static ToolDefinition Read(JsonElement tool)
    {
        if (tool.ValueKind != JsonValueKind.Object)
        {
            throw new InvalidDataException(
                $"found a {tool.ValueKind.ToString().ToLowerInvariant()}; expected {{\"type\": \"function\", "
                    + $"\"function\": {{\"name\": …}}}}."
            );
        }

        var type = Text(tool, "type");
        if (type is not null && BuiltIn.Contains(type))
        {
            return new ToolDefinition(type, type, "");
        }

        if (tool.TryGetProperty("function", out var function) && function.ValueKind == JsonValueKind.Object)
        {
            return type is null or "function"
                ? Function(function, "function.name")
                : throw new InvalidDataException($"type '{type}'; expected function, {string.Join(", ", BuiltIn)}.");
        }

        return tool.TryGetProperty("name", out _) && type is null
            ? Function(tool, "name")
            : throw new InvalidDataException(
                type is null or "function"
                    ? "no 'function' object; expected {\"type\": \"function\", \"function\": {\"name\": …}}."
                    : $"type '{type}'; expected function, {string.Join(", ", BuiltIn)}."
            );
    }

    private static ToolDefinition Function(JsonElement function, string key)
    {
        if (Text(function, "name") is not { Length: > 0 } name)
        {
            throw new InvalidDataException($"'{key}' is missing or not a string; a function needs a name.");
        }

        // Throws on what the prompt could not show: an unpaired surrogate.
        _ = PythonJson.Write(function, indent: null);
        return new ToolDefinition("function", name, function.GetRawText());
    }

    private static string? Text(JsonElement value, string key) =>
        value.TryGetProperty(key, out var text) && text.ValueKind == JsonValueKind.String ? text.GetString() : null;
}
