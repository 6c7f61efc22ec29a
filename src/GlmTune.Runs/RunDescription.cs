using System.Text.Json;
using System.Text.Json.Nodes;
using GlmTune.Files;

namespace GlmTune.Runs;

/// <summary>The contents of <c>run.json</c> in a run's output folder: what the run is.</summary>
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

    /// <summary>When the run was first started; a resumed run keeps the time.</summary>
    public required DateTimeOffset Started { get; init; }

    /// <summary>The base model, as the user named it.</summary>
    public required string Model { get; init; }

    /// <summary>The data folder, as the user named it.</summary>
    public required string Data { get; init; }

    /// <summary>Every option in effect, by section, so that two runs can be compared.</summary>
    public JsonObject Recipe { get; init; } = [];

    /// <summary>Versions of the program and of its dependencies, by name.</summary>
    public IReadOnlyDictionary<string, string> Versions { get; init; } = new Dictionary<string, string>();

    /// <summary>The device that it computes on.</summary>
    public string Device { get; init; } = "";

    /// <summary>The type that it computes in.</summary>
    public string Type { get; init; } = "";

    /// <summary>World size.</summary>
    public int WorldSize { get; init; } = 1;

    /// <summary>Number of training rows.</summary>
    public long Rows { get; init; }

    /// <summary>Steps of the whole run.</summary>
    public long TotalSteps { get; init; }

    /// <summary>Number of trainable parameters.</summary>
    public long TrainedParameters { get; init; }

    /// <summary>Total number of parameters.</summary>
    public long AllParameters { get; init; }

    /// <summary>Reads the file of an output folder; null if it is missing or damaged.</summary>
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

    /// <summary>Writes the file into an output folder, atomically.</summary>
    public void Write(string folder) =>
        AtomicFile.WriteText(Path.Combine(folder, FileName), JsonSerializer.Serialize(this, Format) + "\n");

    /// <summary>The description as JSON.</summary>
    public JsonNode ToJson() => JsonSerializer.SerializeToNode(this, Format)!;
}
