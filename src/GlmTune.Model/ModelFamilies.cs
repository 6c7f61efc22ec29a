using System.Text.Json;
using System.Text.Json.Nodes;
using GlmTune.Model.Glm4;

namespace GlmTune.Model;

/// <summary>One architecture that can be read and run: a folder of this project.</summary>
/// <param name="Name">What messages call it.</param>
/// <param name="ModelTypes">What <c>model_type</c> is in its <c>config.json</c>.</param>
/// <param name="ReadConfig">Reads a <c>config.json</c>, given its path for messages; throws
/// <see cref="InvalidDataException"/> with all problems at once. The configuration makes the model, and the model knows
/// the names of its weights.</param>
/// <param name="Shapes">Published shapes by name, which need no files.</param>
/// <param name="Fits">Tells its files from those of other families with the same <c>model_type</c>; null: no other has
/// one of its types.</param>
public sealed record ModelFamily(
    string Name,
    IReadOnlyList<string> ModelTypes,
    Func<string, JsonObject, ModelConfig> ReadConfig,
    IReadOnlyDictionary<string, ModelConfig> Shapes,
    Func<JsonObject, bool>? Fits = null
);

/// <summary>The families that there are: the one list of them.</summary>
public static class ModelFamilies
{
    // What is known and not supported: a clearer message than that of an unknown type.
    private static readonly Dictionary<string, string> Others = new()
    {
        ["glm4"] =
            "model_type 'glm4' (the GLM-4-0414 models) is another architecture, with two more norms in every layer. "
            + "This program runs GLM-4-9B ('chatglm', or 'glm' as the transformers library converts it).",
    };

    /// <summary>All of them.</summary>
    public static IReadOnlyList<ModelFamily> All { get; } = [Glm4Family.Instance];

    /// <summary>A published shape by its name.</summary>
    /// <param name="name">Such as "glm-4-9b".</param>
    /// <exception cref="ArgumentException">No family has it.</exception>
    public static ModelConfig Shape(string name) =>
        All.Select(family => family.Shapes.GetValueOrDefault(name)).FirstOrDefault(shape => shape is not null)
        ?? throw new ArgumentException($"There is no published shape '{name}'.", nameof(name));

    /// <summary>The family of a <c>config.json</c>, by its <c>model_type</c>.</summary>
    /// <param name="path">Of the file, for messages.</param>
    /// <param name="json">Its contents.</param>
    /// <exception cref="InvalidDataException">It names no type, or one of no family here.</exception>
    public static ModelFamily Of(string path, JsonObject json)
    {
        var type =
            json["model_type"] is JsonValue value && value.GetValueKind() == JsonValueKind.String
                ? value.GetValue<string>()
                : throw new InvalidDataException($"{path}: has no 'model_type'; expected {Expected}.");
        return All.FirstOrDefault(family => family.ModelTypes.Contains(type) && family.Fits?.Invoke(json) != false)
            ?? throw new InvalidDataException(
                Others.TryGetValue(type, out var reason)
                    ? $"{path}: {reason}"
                    : $"{path}: model_type '{type}' is not {string.Join(" or ", All.Select(family => family.Name))}. "
                        + $"Expected {Expected}."
            );
    }

    private static string Expected =>
        string.Join(" or ", All.SelectMany(family => family.ModelTypes).Select(type => $"'{type}'"));
}
