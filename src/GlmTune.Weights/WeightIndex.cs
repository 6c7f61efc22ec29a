using System.Text.Json;
using GlmTune.Files;

namespace GlmTune.Weights;

/// <summary>The index of a model in parts: <c>{"metadata": {"total_size": …}, "weight_map": {tensor:
/// part}}</c>.</summary>
internal static class WeightIndex
{
    /// <summary>Which part holds which tensor.</summary>
    /// <exception cref="InvalidDataException">The file is not such an index, or names parts outside its own
    /// folder.</exception>
    public static Dictionary<string, string> Read(string path)
    {
        try
        {
            using var json = JsonDocument.Parse(
                File.ReadAllBytes(path),
                new JsonDocumentOptions { AllowDuplicateProperties = false }
            );
            var problems = new ProblemList(path);
            var map = new Dictionary<string, string>(StringComparer.Ordinal);
            if (
                json.RootElement.ValueKind != JsonValueKind.Object
                || !json.RootElement.TryGetProperty("weight_map", out var weightMap)
                || weightMap.ValueKind != JsonValueKind.Object
            )
            {
                throw new InvalidDataException(
                    $"{path}: has no object 'weight_map', which says which part holds which tensor."
                );
            }

            foreach (var property in weightMap.EnumerateObject())
            {
                var part = property.Value.ValueKind == JsonValueKind.String ? property.Value.GetString()! : "";
                if (
                    part.Length == 0
                    || part.Contains('/')
                    || part.Contains('\\')
                    || !part.EndsWith(".safetensors", StringComparison.Ordinal)
                )
                {
                    problems.Add(
                        $"'{property.Name}' is said to be in {property.Value.GetRawText()}; expected the name of a "
                            + ".safetensors file in the same folder"
                    );
                }
                else
                {
                    map.Add(property.Name, part);
                }
            }

            if (map.Count == 0)
            {
                problems.Add("'weight_map' is empty");
            }

            problems.Throw();
            return map;
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException)
        {
            throw new InvalidDataException($"{path}: is not the JSON it should be ({exception.Message}).", exception);
        }
    }

    /// <summary>Writes an index, tensors in the order of their names.</summary>
    /// <param name="path">Where to.</param>
    /// <param name="totalBytes">Bytes of all tensors together.</param>
    /// <param name="parts">Tensor to part.</param>
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
