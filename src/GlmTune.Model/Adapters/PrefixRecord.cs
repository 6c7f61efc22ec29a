using GlmTune.Files;
using GlmTune.Files.Json;

namespace GlmTune.Model.Adapters;

/// <summary>Information about a prefix that PEFT's files do not contain: the position of the first real
/// token.</summary>
/// <remarks>Stored in a file of its own, because versions of PEFT treat unknown keys in <c>adapter_config.json</c>
/// differently.</remarks>
internal static class PrefixRecord
{
    /// <summary>Name of the file with the position rule.</summary>
    public const string FileName = "glmtune_prefix.json";

    /// <summary>Name of the file with the projection that computes the prefix, so that training can continue.</summary>
    public const string ProjectionFile = "glmtune_prefix_projection.safetensors";

    private const string Key = "positions";

    /// <summary>The position rule with which a folder's prefix was trained; automatic if none is recorded.</summary>
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

    /// <summary>Writes the position rule.</summary>
    public static void Write(string folder, PrefixPositions positions) =>
        AtomicFile.WriteJson(
            Path.Combine(folder, FileName),
            new Dictionary<string, string> { [Key] = positions == PrefixPositions.Library ? "library" : "original" }
        );
}
