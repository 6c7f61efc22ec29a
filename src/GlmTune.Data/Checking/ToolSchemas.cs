using System.Collections.Concurrent;
using System.Text.Json;
using System.Text.Json.Nodes;
using GlmTune.Data.Conversations;
using GlmTune.Files.Json;

namespace GlmTune.Data.Checking;

/// <summary>Checks the arguments of calls against the schemas declared in their conversation.</summary>
/// <remarks>Thread-safe; each schema is parsed once. Schemas may refer only to themselves: nothing is
/// fetched.</remarks>
internal sealed class ToolSchemas
{
    private readonly ConcurrentDictionary<string, (ArgumentSchema? Schema, string? Problem)> parsed = new(
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

        return Parse(tool).Schema?.Mismatch(call.Arguments);
    }

    private (ArgumentSchema? Schema, string? Problem) Parse(ToolDefinition tool)
    {
        using var function = JsonDocument.Parse(tool.Json, new JsonDocumentOptions { MaxDepth = JsonFile.MaxDepth });
        return
            function.RootElement.TryGetProperty("parameters", out var parameters)
            && parameters.ValueKind != JsonValueKind.Null
            ? parsed.GetOrAdd(parameters.GetRawText(), Parse)
            : (null, null);
    }

    private static (ArgumentSchema? Schema, string? Problem) Parse(string schema) =>
        JsonNode.Parse(schema, documentOptions: new JsonDocumentOptions { MaxDepth = JsonFile.MaxDepth }) switch
        {
            JsonObject node => ArgumentSchema.Of(node),
            _ => (null, "'parameters' is not an object; expected a JSON schema."),
        };
}
