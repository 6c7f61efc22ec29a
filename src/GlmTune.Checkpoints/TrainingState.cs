using System.Text.Json;
using System.Text.Json.Serialization;
using GlmTune.Data.Batching;
using GlmTune.Files;
using GlmTune.Files.Json;

namespace GlmTune.Checkpoints;

/// <summary>A run's state apart from its weights: step, position in the data, schedule and seeds. Small and
/// human-readable.</summary>
/// <remarks>Dropout masks and the order of the data follow from the seeds and the step, so no generator state is
/// kept.</remarks>
internal sealed record TrainingState
{
    /// <summary>The file's name in a checkpoint.</summary>
    public const string FileName = "training_state.json";

    private static readonly JsonSerializerOptions Format = new() { WriteIndented = true };

    /// <summary>Version of the format.</summary>
    public int Version { get; init; } = 1;

    /// <summary>Finished steps.</summary>
    public required long Step { get; init; }

    /// <summary>Steps of the whole run, as planned when this file was written.</summary>
    public required long TotalSteps { get; init; }

    /// <summary>Position in the data at which the next step starts.</summary>
    public required DataCursor Data { get; init; }

    /// <summary>Seed of the run.</summary>
    public required long Seed { get; init; }

    /// <summary>Losses since the last log entry, so that a resumed run logs the same means.</summary>
    public double UnloggedLoss { get; init; }

    /// <summary>Steps since the last log entry.</summary>
    public int UnloggedSteps { get; init; }

    /// <summary>Consecutive evaluations without improvement.</summary>
    public int EvaluationsWithoutImprovement { get; init; }

    /// <summary>World size of the run that wrote this; a resumed run may use another.</summary>
    public int WorldSize { get; init; } = 1;

    /// <summary>Name of the chat template revision used for the rows; null if it was not recorded.</summary>
    public string? Template { get; init; }

    /// <summary>The special token that ended the rows; null if it was not recorded.</summary>
    public string? EndToken { get; init; }

    /// <summary>Fingerprint of the training rows, so that a run resumed with different rows can say so; null if it was
    /// not recorded.</summary>
    public string? Rows { get; init; }

    /// <summary>Id of the Slurm job that wrote this; null outside Slurm.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Job { get; init; }

    /// <summary>Fingerprint of the base model; null if it was not recorded.</summary>
    public string? Base { get; init; }

    /// <summary>The settings that determine how training continues, as text, by the recipe's keys; null if they were
    /// not recorded.</summary>
    public SortedDictionary<string, string>? Settings { get; init; }

    /// <summary>How many of the finished steps were skipped because of their numbers.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)]
    public long Skipped { get; init; }

    /// <summary>How often the run went back to a checkpoint.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)]
    public int Rewinds { get; init; }

    /// <summary>Indices of training rows that are left out, ascending; null: none.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public IReadOnlyList<int>? LeftOut { get; init; }

    /// <summary>Losses of the last accepted steps, with which those to come are compared; null: they are not.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public IReadOnlyList<double>? RecentLosses { get; init; }

    /// <summary>Their gradient norms.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public IReadOnlyList<double>? RecentNorms { get; init; }

    /// <summary>Reads the file of a checkpoint; null if it has none, as with other programs' checkpoints.</summary>
    /// <exception cref="InvalidDataException">The file is damaged, or of a newer version.</exception>
    public static TrainingState? Read(string folder)
    {
        var path = Path.Combine(folder, FileName);
        if (!File.Exists(path))
        {
            return null;
        }

        try
        {
            var state =
                JsonFile.ReadObject(path).Deserialize<TrainingState>(Format)
                ?? throw new InvalidDataException($"{path}: is empty.");
            return state.Version == 1
                ? state
                : throw new InvalidDataException(
                    $"{path}: version {state.Version} is newer than this program supports (1)."
                );
        }
        catch (JsonException error)
        {
            throw new InvalidDataException(
                $"{path}: '{error.Path?.TrimStart('$', '.')}' is missing or has the wrong type.",
                error
            );
        }
    }

    /// <summary>Writes the file.</summary>
    public void Write(string folder) =>
        AtomicFile.WriteText(Path.Combine(folder, FileName), JsonSerializer.Serialize(this, Format) + "\n");
}
