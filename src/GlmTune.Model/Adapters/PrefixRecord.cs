using GlmTune.Files;
using GlmTune.Files.Json;

namespace GlmTune.Model.Adapters;

/// <summary>What PEFT's files do not say of a prefix: the position of the first real token.</summary>
/// <remarks>A file of its own, since versions of PEFT differ in what they make of an unknown key in
/// <c>adapter_config.json</c>.</remarks>
internal static class PrefixRecord
{
    /// <summary>Holds the record.</summary>
    public const string FileName = "glmtune_prefix.json";

    /// <summary>Holds the projection that makes the prefix, so that training can go on.</summary>
    public const string ProjectionFile = "glmtune_prefix_projection.safetensors";

    private const string Key = "positions";

    /// <summary>The rule that a folder's prefix was trained with; automatic where nothing is recorded.</summary>
    /// <exception cref="InvalidDataException">The file is damaged.</exception>
    public static PrefixPositions Read(string folder)
    {
        var path = Path.Combine(folder, FileName);
        if (!File.Exists(path))
        {
            return PrefixPositions.Auto;
        }

        var positions = JsonPlace.ReadObject(path)[Key];
        return positions.Text() switch
        {
            "original" => PrefixPositions.Original,
            "library" => PrefixPositions.Library,
            _ => throw positions.Wrong("original or library"),
        };
    }

    /// <summary>Writes the rule.</summary>
    public static void Write(string folder, PrefixPositions positions) =>
        AtomicFile.WriteJson(
            Path.Combine(folder, FileName),
            new Dictionary<string, string> { [Key] = positions == PrefixPositions.Library ? "library" : "original" }
        );
}
