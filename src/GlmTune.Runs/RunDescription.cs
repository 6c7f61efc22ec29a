using System.Text.Json;
using System.Text.Json.Nodes;
using GlmTune.Files;
using GlmTune.Files.Json;

namespace GlmTune.Runs;

/// <summary>The contents of <c>run.json</c> in a run's output folder: what the run is.</summary>
internal sealed record RunDescription
{
    /// <summary>The file's name in the output folder.</summary>
    public const string FileName = "run.json";

    /// <summary>The largest file that is read, in bytes.</summary>
    internal const int MaxBytes = 4 << 20;

    // What is read is embedded in other values when written, and JsonNode writes at most 64 levels.
    private const int MaxDepth = 32;

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

    /// <summary>The keys that the recipe sets, with their values as written; empty for a recipe made in
    /// code.</summary>
    public IReadOnlyDictionary<string, string> Settings { get; init; } = new Dictionary<string, string>();

    /// <summary>The command that started it: arguments of the program, without the checkpoint to resume from; empty for
    /// a run started from code.</summary>
    public IReadOnlyList<string> Command { get; init; } = [];

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
            return File.Exists(path) ? Parse(RegularFile.ReadBytes(path, MaxBytes), path) : null;
        }
        catch (Exception error) when (error is InvalidDataException or IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    /// <summary>Parses the bytes of a file.</summary>
    /// <param name="utf8">The bytes.</param>
    /// <param name="name">What errors call it, such as its path.</param>
    /// <exception cref="InvalidDataException">It is not a description of a run.</exception>
    internal static RunDescription Parse(byte[] utf8, string name)
    {
        var text = JsonFile.WithoutMark(utf8);
        if (JsonFile.TryParse(text, out var value, MaxDepth) is { } fault)
        {
            throw new InvalidDataException($"{name}: not valid JSON: {fault.Text}");
        }

        try
        {
            return value.Deserialize<RunDescription>(Format)
                ?? throw new InvalidDataException($"{name}: found null; expected an object.");
        }
        catch (JsonException error)
        {
            throw new InvalidDataException(
                $"{name}: '{error.Path?.TrimStart('$', '.')}' is missing or has the wrong type.",
                error
            );
        }
    }

    /// <summary>Writes the file into an output folder, atomically.</summary>
    public void Write(string folder) =>
        AtomicFile.WriteText(Path.Combine(folder, FileName), JsonSerializer.Serialize(this, Format) + "\n");

    /// <summary>The description as JSON.</summary>
    public JsonNode ToJson() => JsonSerializer.SerializeToNode(this, Format)!;
}
