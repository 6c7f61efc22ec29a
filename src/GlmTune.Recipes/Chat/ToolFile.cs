using System.Text.Json;
using GlmTune.Data.Conversations;
using GlmTune.Files.Json;

namespace GlmTune.Recipes.Chat;

/// <summary>A file of tools that a model may call.</summary>
internal static class ToolFile
{
    /// <summary>Reads a JSON array of tools, or an object with such an array as <c>tools</c>.</summary>
    /// <exception cref="InvalidDataException">The file holds something else; the message lists every invalid
    /// tool.</exception>
    public static IReadOnlyList<ToolDefinition> Read(string path)
    {
        var list = JsonFile.Read(path);
        if (list.ValueKind == JsonValueKind.Object && list.TryGetProperty("tools", out var inner))
        {
            list = inner;
        }

        if (list.ValueKind != JsonValueKind.Array)
        {
            throw new InvalidDataException($"{path}: found {JsonFile.Describe(list)}; expected an array of tools.");
        }

        var (tools, problems) = (new List<ToolDefinition>(), new List<string>());
        foreach (var (place, tool) in list.EnumerateArray().Index())
        {
            try
            {
                tools.Add(ToolDefinition.Read(tool));
            }
            catch (InvalidDataException e)
            {
                problems.Add($"{path}, tools[{place}]: {e.Message}");
            }
        }

        return problems.Count == 0 ? tools : throw new InvalidDataException(string.Join(Environment.NewLine, problems));
    }
}
