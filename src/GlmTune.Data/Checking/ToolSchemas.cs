using System.Collections.Concurrent;
using System.Text.Json;
using GlmTune.Data.Conversations;
using NJsonSchema;
using NJsonSchema.Validation;

namespace GlmTune.Data.Checking;

/// <summary>Checks the arguments of calls against the schemas that their conversation declares.</summary>
/// <remarks>Thread-safe; a schema is parsed once. Schemas may refer to themselves only: nothing is fetched.</remarks>
internal sealed class ToolSchemas
{
    private readonly ConcurrentDictionary<string, (JsonSchema? Schema, string? Problem)> parsed = new(StringComparer.Ordinal);

    /// <summary>What is wrong with the calls of a conversation: message, kind, words.</summary>
    public IEnumerable<(int Message, FindingKind Kind, string Text)> Check(Conversation conversation)
    {
        var tools = new Dictionary<string, ToolDefinition>(StringComparer.Ordinal);
        foreach (var (index, message) in conversation.Messages.Index())
        {
            foreach (var tool in message.Tools)
            {
                tools[tool.Name] = tool;
                if (tool.Type == "function" && Parse(tool).Problem is { } problem)
                {
                    yield return (index, FindingKind.BadSchema, $"tool '{tool.Name}': {problem}");
                }
            }

            if (ToolCall.Read(message) is { } call)
            {
                if (!tools.TryGetValue(call.Name, out var tool))
                {
                    var declared = tools.Count == 0 ? "no tool is declared" : $"declared are {string.Join(", ", tools.Keys.Take(8))}";
                    yield return (index, FindingKind.UndeclaredTool, $"a call of '{call.Name}', but {declared}.");
                }
                else if (tool.Type == "function" && Mismatch(tool, call) is { } mismatch)
                {
                    yield return (index, FindingKind.WrongArguments, $"the call of '{call.Name}': {mismatch}");
                }
            }
        }
    }

    private string? Mismatch(ToolDefinition tool, ToolCall call)
    {
        if (!call.HasJsonArguments)
        {
            return "the arguments are no JSON object.";
        }

        var errors = Parse(tool).Schema?.Validate(call.Arguments) ?? [];
        return errors.Count == 0 ? null : string.Join("; ", errors.Take(4).Select(Describe)) + ".";
    }

    private (JsonSchema? Schema, string? Problem) Parse(ToolDefinition tool)
    {
        using var function = JsonDocument.Parse(tool.Json, new JsonDocumentOptions { MaxDepth = 512 });
        return function.RootElement.TryGetProperty("parameters", out var parameters) && parameters.ValueKind != JsonValueKind.Null
            ? parsed.GetOrAdd(parameters.GetRawText(), Parse)
            : (null, null);
    }

    private static (JsonSchema? Schema, string? Problem) Parse(string schema)
    {
        using var json = JsonDocument.Parse(schema, new JsonDocumentOptions { MaxDepth = 512 });
        if (json.RootElement.ValueKind != JsonValueKind.Object)
        {
            return (null, $"'parameters' is {json.RootElement.ValueKind.ToString().ToLowerInvariant()}; expected a JSON schema.");
        }

        if (OutsideReference(json.RootElement) is { } reference)
        {
            return (null, $"its schema refers to '{reference}'; only references inside it (#/…) are followed.");
        }

        try
        {
            return (JsonSchema.FromJsonAsync(schema).GetAwaiter().GetResult(), null);
        }
        catch (Exception e) when (e is InvalidOperationException or Newtonsoft.Json.JsonException or FormatException or ArgumentException or NotSupportedException)
        {
            return (null, $"its schema cannot be read: {e.Message.Split('\n')[0].Trim()}");
        }
    }

    private static string? OutsideReference(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.Object => value.EnumerateObject().Select(member =>
            member.Name == "$ref" && member.Value.ValueKind == JsonValueKind.String
                ? (member.Value.GetString()!.StartsWith('#') ? null : member.Value.GetString())
                : OutsideReference(member.Value)).FirstOrDefault(found => found is not null),
        JsonValueKind.Array => value.EnumerateArray().Select(OutsideReference).FirstOrDefault(found => found is not null),
        _ => null,
    };

    private static string Describe(ValidationError error)
    {
        var path = (error.Path ?? "#").TrimStart('#', '/');
        return $"'{(path.Length == 0 ? "arguments" : path)}' " + error.Kind switch
        {
            ValidationErrorKind.PropertyRequired => "is missing",
            ValidationErrorKind.NoAdditionalPropertiesAllowed => "is not declared",
            ValidationErrorKind.NotInEnumeration => "is none of the allowed values",
            ValidationErrorKind.StringExpected => "is no string",
            ValidationErrorKind.NumberExpected => "is no number",
            ValidationErrorKind.IntegerExpected => "is no whole number",
            ValidationErrorKind.BooleanExpected => "is neither true nor false",
            ValidationErrorKind.ArrayExpected => "is no array",
            ValidationErrorKind.ObjectExpected => "is no object",
            var kind => $"does not fit the schema ({kind})",
        };
    }
}
