using System.Text.Json;
using GlmTune.Files;
using GlmTune.Files.Json;

namespace GlmTune.Weights;

/// <summary>The index of a model in parts: <c>{"metadata": {"total_size": …}, "weight_map": {tensor:
/// part}}</c>.</summary>
internal static class WeightIndex
{
    /// <summary>Reads which part holds which tensor.</summary>
    /// <exception cref="InvalidDataException">The file is not such an index, or names parts outside its
    /// folder.</exception>
    public static Dictionary<string, string> Read(string path)
    {
        var problems = new ProblemList(path);
        var map = new Dictionary<string, string>(StringComparer.Ordinal);
        var weightMap = JsonPlace.ReadObject(path).Find("weight_map") is { Value.ValueKind: JsonValueKind.Object } found
            ? found
            : throw new InvalidDataException($"{path}: has no object 'weight_map', which maps tensors to files.");
        foreach (var (name, value) in weightMap.Properties())
        {
            var part = value.Value.ValueKind == JsonValueKind.String ? value.Text() : "";
            if (
                part.Length == 0
                || part.Contains('/')
                || part.Contains('\\')
                || !part.EndsWith(".safetensors", StringComparison.Ordinal)
            )
            {
                problems.Add(
                    $"'{name}' maps to {value.Value.GetRawText()}; expected the name of a .safetensors file in "
                        + "the same folder"
                );
            }
            else
            {
                map.Add(name, part);
            }
        }

        if (map.Count == 0)
        {
            problems.Add("'weight_map' is empty");
        }

        problems.Throw();
        return map;
    }

    /// <summary>Writes an index with the tensors sorted by name.</summary>
    /// <param name="path">Path of the index file.</param>
    /// <param name="totalBytes">Total bytes of all tensors.</param>
    /// <param name="parts">The part of each tensor.</param>
    public static void Write(string path, long totalBytes, IReadOnlyDictionary<string, string> parts) =>
        AtomicFile.WriteJson(
            path,
            new
            {
                metadata = new { total_size = totalBytes },
                weight_map = new SortedDictionary<string, string>(parts.ToDictionary(), StringComparer.Ordinal),
            }
        );
}
