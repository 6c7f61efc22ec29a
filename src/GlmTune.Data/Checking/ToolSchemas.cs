using System.Collections.Concurrent;
using System.Text.Json;
using System.Text.Json.Nodes;
using GlmTune.Data.Conversations;
using NJsonSchema;

namespace GlmTune.Data.Checking;

/// <summary>Checks the arguments of calls against the schemas declared in their conversation.</summary>
/// <remarks>Thread-safe; each schema is parsed once. Schemas may refer only to themselves: nothing is
/// fetched.</remarks>
internal sealed class ToolSchemas
{
    private readonly ConcurrentDictionary<string, (JsonSchema? Schema, string? Problem)> parsed = new(
        StringComparer.Ordinal
    );

    /// <summary>The problems of a conversation's calls: message, kind, description.</summary>
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
                    var declared =
                        tools.Count == 0
                            ? "no tools are declared"
                            : $"the declared tools are {string.Join(", ", tools.Keys.Take(8))}";
                    yield return (index, FindingKind.UndeclaredTool, $"a call to '{call.Name}', but {declared}.");
                }
                else if (tool.Type == "function" && Mismatch(tool, call) is { } mismatch)
                {
                    yield return (index, FindingKind.WrongArguments, $"the call to '{call.Name}': {mismatch}");
                }
            }
        }
    }

    private string? Mismatch(ToolDefinition tool, ToolCall call)
    {
        if (!call.HasJsonArguments)
        {
            return "the arguments are not a JSON object.";
        }

        try
        {
            var errors = Parse(tool).Schema?.Validate(call.Arguments) ?? [];
            return errors.Count == 0 ? null : string.Join("; ", errors.Take(4).Select(SchemaWords.Describe)) + ".";
        }
        catch (Exception e) when (IsBadSchema(e))
        {
            return $"it cannot be checked: {FirstLine(e)}";
        }
    }

    private (JsonSchema? Schema, string? Problem) Parse(ToolDefinition tool)
    {
        using var function = JsonDocument.Parse(tool.Json, new JsonDocumentOptions { MaxDepth = 512 });
        return
            function.RootElement.TryGetProperty("parameters", out var parameters)
            && parameters.ValueKind != JsonValueKind.Null
            ? parsed.GetOrAdd(parameters.GetRawText(), Parse)
            : (null, null);
    }

    private static (JsonSchema? Schema, string? Problem) Parse(string schema)
    {
        try
        {
            if (JsonNode.Parse(schema) is not JsonObject node)
            {
                return (null, "'parameters' is not an object; expected a JSON schema.");
            }

            return SchemaReferences.Problem(node) is { } problem
                ? (null, problem)
                : (JsonSchema.FromJsonAsync(schema).GetAwaiter().GetResult(), null);
        }
        catch (Exception e) when (IsBadSchema(e))
        {
            return (null, $"its schema is invalid: {FirstLine(e)}");
        }
    }

    // The library has no specific exception for an invalid schema.
    private static bool IsBadSchema(Exception e) =>
        e
            is InvalidOperationException
                or ArgumentException
                or FormatException
                or NotSupportedException
                or InvalidCastException
                or OverflowException
                or JsonException
                or Newtonsoft.Json.JsonException;

    private static string FirstLine(Exception e) => e.Message.Split('\n')[0].Trim();
}
