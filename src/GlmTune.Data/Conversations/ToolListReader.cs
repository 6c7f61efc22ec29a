using System.Text.Json;
using GlmTune.Files.Json;

namespace GlmTune.Data.Conversations;

/// <summary>Reads lists of tools: arrays, or strings that hold arrays as JSON.</summary>
internal sealed class ToolListReader(RowReading reading)
{
    private readonly HashSet<string> functions = new(StringComparer.Ordinal);

    /// <summary>Whether the calls of a tool are not JSON: built-in tools, unless a function has the same
    /// name.</summary>
    public bool IsBuiltIn(string name) => ToolDefinition.BuiltIn.Contains(name) && !functions.Contains(name);

    /// <summary>The tools in the value of a key; none if it is missing.</summary>
    public List<ToolDefinition> ReadList(JsonElement owner, string key, int? message) =>
        RowReading.Optional(owner, key) is { } value ? Read(value, key, message) : [];

    /// <summary>The tools in a value.</summary>
    public List<ToolDefinition> Read(JsonElement value, string key, int? message)
    {
        var result = new List<ToolDefinition>();
        if (value.ValueKind == JsonValueKind.String)
        {
            if (
                string.IsNullOrWhiteSpace(value.GetString())
                || reading.Inner(value.GetString()!, message, $"'{key}'") is not { } inner
            )
            {
                return result;
            }

            value = inner;
        }

        if (value.ValueKind is not JsonValueKind.Array)
        {
            if (value.ValueKind != JsonValueKind.Null)
            {
                reading.Problem(message, $"'{key}' is {JsonFile.Describe(value)}; expected an array of tools.");
            }

            return result;
        }

        foreach (var (place, item) in value.EnumerateArray().Index())
        {
            var tool =
                item.ValueKind == JsonValueKind.String
                    ? reading.Inner(item.GetString()!, message, $"{key}[{place}]")
                    : item;
            if (tool is null)
            {
                continue;
            }

            try
            {
                var definition = ToolDefinition.Read(tool.Value);
                if (definition.Type == "function")
                {
                    functions.Add(definition.Name);
                }

                result.Add(definition);
            }
            catch (InvalidDataException e)
            {
                reading.Problem(message, $"{key}[{place}]: {e.Message}");
            }
        }

        return result;
    }
}
