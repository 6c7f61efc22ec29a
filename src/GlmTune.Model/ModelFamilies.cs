using System.Text.Json;
using System.Text.Json.Nodes;
using GlmTune.Model.Glm4;

namespace GlmTune.Model;

/// <summary>A supported architecture, which is a folder of this project.</summary>
/// <param name="Name">Its name in messages.</param>
/// <param name="ModelTypes">Its values of <c>model_type</c> in <c>config.json</c>.</param>
/// <param name="ReadConfig">Reads a <c>config.json</c>, given its path for messages; throws
/// <see cref="InvalidDataException"/> with all problems at once. The configuration creates the model, and the model
/// knows the names of its weights.</param>
/// <param name="Shapes">Published shapes by name, which need no files.</param>
/// <param name="Fits">Distinguishes its files from those of other families with the same <c>model_type</c>; null if no
/// other family has one of its types.</param>
internal sealed record ModelFamily(
    string Name,
    IReadOnlyList<string> ModelTypes,
    Func<string, JsonObject, ModelConfig> ReadConfig,
    IReadOnlyDictionary<string, ModelConfig> Shapes,
    Func<JsonObject, bool>? Fits = null
);

/// <summary>The one list of supported families.</summary>
internal static class ModelFamilies
{
    /// <summary>All families.</summary>
    public static IReadOnlyList<ModelFamily> All { get; } = [Glm4Family.Instance];

    /// <summary>The names of the published shapes.</summary>
    public static IReadOnlyList<string> ShapeNames { get; } = [.. All.SelectMany(family => family.Shapes.Keys)];

    /// <summary>The published shape with a given name.</summary>
    /// <param name="name">The name, such as "glm-4-9b".</param>
    /// <exception cref="ArgumentException">No family has this shape.</exception>
    public static ModelConfig Shape(string name) =>
        All.Select(family => family.Shapes.GetValueOrDefault(name)).FirstOrDefault(shape => shape is not null)
        ?? throw new ArgumentException($"There is no published shape '{name}'.", nameof(name));

    /// <summary>The family of a <c>config.json</c>, by its <c>model_type</c>.</summary>
    /// <param name="path">Path of the file, for messages.</param>
    /// <param name="json">Its contents.</param>
    /// <exception cref="InvalidDataException">The file has no type, an unknown type, or an unsupported form such as a
    /// quantised model; the message lists all causes.</exception>
    public static ModelFamily Of(string path, JsonObject json)
    {
        var type =
            json["model_type"] is JsonValue value && value.GetValueKind() == JsonValueKind.String
                ? value.GetValue<string>()
                : null;
        var family = All.FirstOrDefault(family =>
            type is not null && family.ModelTypes.Contains(type) && family.Fits?.Invoke(json) != false
        );
        List<string> causes = family is null ? [UnsupportedModel.Describe(json, Expected)] : [];
        causes.AddRange(UnsupportedModel.FindForms(json));
        return causes.Count == 0 ? family! : throw new InvalidDataException($"{path}: {string.Join("\n  ", causes)}");
    }

    private static string Expected =>
        string.Join(" or ", All.SelectMany(family => family.ModelTypes).Select(type => $"'{type}'"));
}
