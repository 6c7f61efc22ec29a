using System.Text.Json;
using GlmTune.Data.Batching;
using GlmTune.Files;
using GlmTune.Files.Json;

namespace GlmTune.Checkpoints;

/// <summary>Where a run stands beside its weights: step, place in the data, schedule and seeds. Small, and
/// human-readable.</summary>
/// <remarks>Dropout masks and the order of the data follow from the seeds and the step, so no generator's state is
/// kept.</remarks>
public sealed record TrainingState
{
    /// <summary>The file's name in a checkpoint.</summary>
    public const string FileName = "training_state.json";

    private static readonly JsonSerializerOptions Format = new() { WriteIndented = true };

    /// <summary>Version of the format.</summary>
    public int Version { get; init; } = 1;

    /// <summary>Finished steps.</summary>
    public required long Step { get; init; }

    /// <summary>Steps of the whole run, as planned when this was written.</summary>
    public required long TotalSteps { get; init; }

    /// <summary>Where the next step's data begin.</summary>
    public required DataCursor Data { get; init; }

    /// <summary>Seed of the run.</summary>
    public required long Seed { get; init; }

    /// <summary>Losses since the last log line, so that a resumed run logs the same means.</summary>
    public double UnloggedLoss { get; init; }

    /// <summary>Steps since the last log line.</summary>
    public int UnloggedSteps { get; init; }

    /// <summary>Evaluations in a row without improvement.</summary>
    public int EvaluationsWithoutImprovement { get; init; }

    /// <summary>Ranks that trained; another number may go on.</summary>
    public int WorldSize { get; init; } = 1;

    /// <summary>Name of the chat format's revision that the rows had; null where it was not recorded.</summary>
    public string? Template { get; init; }

    /// <summary>The special token that ended the rows; null where it was not recorded.</summary>
    public string? EndToken { get; init; }

    /// <summary>Identifies the training rows, so that a run that resumes with others can say so; null where it was not
    /// recorded.</summary>
    public string? Rows { get; init; }

    /// <summary>Reads a checkpoint's file; null where it has none, as those of other programs.</summary>
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
                $"{path}: '{error.Path?.TrimStart('$', '.')}' is missing or has a value of another kind than this file "
                    + "is written with.",
                error
            );
        }
    }

    /// <summary>Writes the file.</summary>
    public void Write(string folder) =>
        AtomicFile.WriteText(Path.Combine(folder, FileName), JsonSerializer.Serialize(this, Format) + "\n");
}
