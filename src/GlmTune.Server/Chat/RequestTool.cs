using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using GlmTune.Data.Conversations;

namespace GlmTune.Server;

/// <summary>A tool declared in a request: its definition for the prompt, and the constraints on its
/// arguments.</summary>
/// <param name="Definition">The definition without <c>strict</c>, which is not shown to the model.</param>
/// <param name="Parameters">Schema of its arguments; null for a built-in tool of the model.</param>
/// <param name="Strict">Whether its arguments are guaranteed to match the schema.</param>
/// <param name="Place">Location of its function in the request, such as <c>tools[2].function</c>.</param>
internal sealed partial record RequestTool(
    ToolDefinition Definition,
    JsonElement? Parameters,
    bool Strict,
    string Place
)
{
    // A function without parameters has no arguments.
    private static readonly JsonElement NoParameters = JsonDocument
        .Parse("""{"type":"object","additionalProperties":false}""")
        .RootElement;

    /// <summary>Reads the tools of a request.</summary>
    /// <exception cref="ApiException">400: a tool has an unknown form, or two tools have the same name.</exception>
    public static IReadOnlyList<RequestTool> ReadAll(IReadOnlyList<JsonElement> given)
    {
        var tools = new List<RequestTool>();
        var names = new HashSet<string>(StringComparer.Ordinal);
        foreach (var (index, tool) in given.Index())
        {
            var read = Read(tool, $"tools[{index}]");
            tools.Add(
                names.Add(read.Definition.Name)
                    ? read
                    : throw ApiException.Wrong(
                        $"{read.Place}.name",
                        $"Two tools are named '{Printable.Of(read.Definition.Name)}'."
                    )
            );
        }

        return tools;
    }

    private static RequestTool Read(JsonElement tool, string place)
    {
        // A function's object may be given without its wrapper.
        var wrapped =
            tool.ValueKind != JsonValueKind.Object
            || tool.TryGetProperty("function", out _)
            || !tool.TryGetProperty("name", out _);
        ToolDefinition definition;
        try
        {
            definition = ToolDefinition.Read(tool);
        }
        catch (InvalidDataException e)
        {
            throw ApiException.Wrong(WrongPart(tool, place, wrapped), $"'{place}': {e.Message}");
        }

        if (definition.Json.Length == 0)
        {
            return new RequestTool(definition, null, false, place);
        }

        var (at, function) = wrapped ? ($"{place}.function", tool.GetProperty("function")) : (place, tool);
        if (!ToolName().IsMatch(definition.Name))
        {
            throw ApiException.Wrong(
                $"{at}.name",
                $"'{Printable.Of(definition.Name)}' is not a valid tool name; expected 1 to 64 letters, digits, "
                    + "'_', '-' or '.'."
            );
        }

        if (
            tool.TryGetProperty("type", out var type)
            && type.ValueKind is not (JsonValueKind.Null or JsonValueKind.String)
        )
        {
            throw ApiException.Wrong(
                $"{place}.type",
                $"'{place}.type' is {RequestBody.Kind(type)}; expected function."
            );
        }

        var parameters = Member(function, "parameters", at, "an object", JsonValueKind.Object);
        var strict = Member(function, "strict", at, "true or false", JsonValueKind.True, JsonValueKind.False);
        _ = Member(function, "description", at, "a string", JsonValueKind.String);
        return new RequestTool(
            strict is null ? definition : WithoutStrict(definition, at),
            parameters ?? NoParameters,
            strict?.ValueKind == JsonValueKind.True,
            at
        );
    }

    private static string WrongPart(JsonElement tool, string place, bool wrapped)
    {
        if (tool.ValueKind != JsonValueKind.Object)
        {
            return place;
        }

        if (
            tool.TryGetProperty("type", out var type)
            && !(type.ValueKind == JsonValueKind.String && type.ValueEquals("function"))
            && type.ValueKind != JsonValueKind.Null
        )
        {
            return $"{place}.type";
        }

        return !wrapped ? $"{place}.name"
            : tool.TryGetProperty("function", out var function) && function.ValueKind == JsonValueKind.Object
                ? $"{place}.function.name"
            : $"{place}.function";
    }

    private static JsonElement? Member(
        JsonElement function,
        string name,
        string place,
        string expected,
        params ReadOnlySpan<JsonValueKind> kinds
    ) =>
        !function.TryGetProperty(name, out var value) || value.ValueKind == JsonValueKind.Null ? null
        : kinds.Contains(value.ValueKind) ? value
        : throw ApiException.Wrong(
            $"{place}.{name}",
            $"'{place}.{name}' is {RequestBody.Kind(value)}; expected {expected}."
        );

    private static ToolDefinition WithoutStrict(ToolDefinition definition, string place)
    {
        try
        {
            var shown = JsonNode.Parse(definition.Json)!.AsObject();
            shown.Remove("strict");
            return definition with { Json = shown.ToJsonString(ApiJson.Options) };
        }
        catch (ArgumentException)
        {
            throw ApiException.Wrong(place, $"'{place}' has a duplicate key.");
        }
    }

    [GeneratedRegex(@"^[\p{L}\p{N}_.-]{1,64}\z", RegexOptions.CultureInvariant)]
    private static partial Regex ToolName();
}
