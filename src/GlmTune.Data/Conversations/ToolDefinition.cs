using System.Text.Json;
using GlmTune.Data.Templates;

namespace GlmTune.Data.Conversations;

/// <summary>A tool that a system message declares.</summary>
/// <param name="Type"><c>function</c>, or one of the model's built-in tools: <c>python</c>, <c>simple_browser</c>,
/// <c>cogview</c>.</param>
/// <param name="Name">Name of the function; for a built-in tool, its type.</param>
/// <param name="Json">The function's definition as shown in the prompt: the raw JSON of the object in the file; empty
/// for built-in tools.</param>
public sealed record ToolDefinition(string Type, string Name, string Json)
{
    /// <summary>The built-in tool whose arguments are code.</summary>
    public const string Python = "python";

    /// <summary>The model's built-in tools, which need no definition.</summary>
    public static IReadOnlyList<string> BuiltIn { get; } = [Python, "simple_browser", "cogview"];

    /// <summary>Reads a tool in either form of the demo's README.</summary>
    /// <param name="tool"><c>{"type": "function", "function": {"name", …}}</c>, the function's object alone
    /// (<c>{"name", "args" | "parameters", …}</c>), or <c>{"type": "python"}</c> and the like.</param>
    /// <exception cref="InvalidDataException">It has another form; the message says what was found.</exception>
    /// <exception cref="InvalidOperationException">A string in it contains an unpaired surrogate.</exception>
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

        // Throws on an unpaired surrogate, which the prompt could not show.
        _ = PythonJson.Write(function, indent: null);
        return new ToolDefinition("function", name, function.GetRawText());
    }

    private static string? Text(JsonElement value, string key) =>
        value.TryGetProperty(key, out var text) && text.ValueKind == JsonValueKind.String ? text.GetString() : null;
}
