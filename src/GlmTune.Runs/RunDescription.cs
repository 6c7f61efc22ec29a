using System.Text.Json;
using System.Text.Json.Nodes;
using GlmTune.Files;

namespace GlmTune.Runs;

/// <summary>What a run is: the contents of <c>run.json</c> in its output folder.</summary>
public sealed record RunDescription
{
    /// <summary>The file's name in the output folder.</summary>
    public const string FileName = "run.json";

    private static readonly JsonSerializerOptions Format = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        WriteIndented = true,
        Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };

    /// <summary>When the run first began; a resumed run keeps it.</summary>
    public required DateTimeOffset Started { get; init; }

    /// <summary>The base model, as it was named.</summary>
    public required string Model { get; init; }

    /// <summary>The data folder, as it was named.</summary>
    public required string Data { get; init; }

    /// <summary>Every option that held, by section; what two runs are compared by.</summary>
    public JsonObject Recipe { get; init; } = [];

    /// <summary>Versions of the program and of what it runs on, by name.</summary>
    public IReadOnlyDictionary<string, string> Versions { get; init; } = new Dictionary<string, string>();

    /// <summary>Where it computes.</summary>
    public string Device { get; init; } = "";

    /// <summary>In which type.</summary>
    public string Type { get; init; } = "";

    /// <summary>Ranks.</summary>
    public int WorldSize { get; init; } = 1;

    /// <summary>Rows to train on.</summary>
    public long Rows { get; init; }

    /// <summary>Steps of the whole run.</summary>
    public long TotalSteps { get; init; }

    /// <summary>Parameters that are trained.</summary>
    public long TrainedParameters { get; init; }

    /// <summary>Parameters in all.</summary>
    public long AllParameters { get; init; }

    /// <summary>Reads an output folder's file; null where there is none, or it is damaged.</summary>
    public static RunDescription? ReadOrNull(string folder)
    {
        try
        {
            var path = Path.Combine(folder, FileName);
            return File.Exists(path)
                ? JsonSerializer.Deserialize<RunDescription>(File.ReadAllText(path), Format)
                : null;
        }
        catch (Exception error) when (error is JsonException or IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    /// <summary>Writes it into an output folder, whole or not at all.</summary>
    public void Write(string folder) =>
        AtomicFile.WriteText(Path.Combine(folder, FileName), JsonSerializer.Serialize(this, Format) + "\n");

    /// <summary>It as JSON.</summary>
    public JsonNode ToJson() => JsonSerializer.SerializeToNode(this, Format)!;
}
