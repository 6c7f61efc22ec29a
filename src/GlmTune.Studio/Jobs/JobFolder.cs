using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;
using GlmTune.Files;
using GlmTune.Files.Json;

namespace GlmTune.Studio.Jobs;

/// <summary>The folder of a job: its record, what its process writes, and the recipe that it runs.</summary>
/// <remarks>Only one process writes the record at a time: the studio until the job has recorded itself, then the job
/// until it has ended. The studio's wish to stop is a file of its own.</remarks>
/// <param name="path">The folder.</param>
internal sealed class JobFolder(string path)
{
    private const string RecordName = "job.json";
    private const string StopName = "stop";
    private const int MaxRecordBytes = 1 << 20;

    private static readonly JsonSerializerOptions Format = new(JsonLayout.Indented)
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
        Converters = { new JsonStringEnumConverter(JsonNamingPolicy.SnakeCaseLower) },
    };

    /// <summary>The folder's path.</summary>
    public string FullPath { get; } = Path.GetFullPath(path);

    /// <summary>What the process writes to its two streams.</summary>
    public string LogPath => Path.Combine(FullPath, "output.log");

    /// <summary>The recipe of a training job.</summary>
    public string RecipePath => Path.Combine(FullPath, "recipe.yaml");

    /// <summary>Whether there is a record.</summary>
    public bool Exists => File.Exists(RecordPath);

    /// <summary>Whether the job was asked to stop since it was last started.</summary>
    public bool StopIsRequested => File.Exists(StopPath);

    private string RecordPath => Path.Combine(FullPath, RecordName);

    private string StopPath => Path.Combine(FullPath, StopName);

    /// <summary>Reads the record.</summary>
    /// <exception cref="InvalidDataException">It is missing or damaged.</exception>
    /// <exception cref="IOException">It cannot be read.</exception>
    public JobRecord Read()
    {
        var bytes = RegularFile.ReadBytes(RecordPath, MaxRecordBytes);
        try
        {
            return JsonSerializer.Deserialize<JobRecord>(JsonFile.WithoutMark(bytes).Span, Format)
                ?? throw new InvalidDataException($"{RecordPath}: found null; expected the record of a job.");
        }
        catch (JsonException error)
        {
            throw new InvalidDataException($"{RecordPath}: is not the record of a job: {error.Message}", error);
        }
    }

    /// <summary>Writes the record, atomically.</summary>
    public void Write(JobRecord record) => AtomicFile.WriteJson(RecordPath, record, Format);

    /// <summary>Notes that the job was asked to stop.</summary>
    public void RequestStop() => AtomicFile.WriteText(StopPath, "");

    /// <summary>Forgets that it was.</summary>
    public void ForgetStop() => Disk.DeleteFile(StopPath);

    /// <summary>The state of the job now.</summary>
    /// <exception cref="InvalidDataException">The record is damaged.</exception>
    /// <exception cref="IOException">The record cannot be read.</exception>
    public (JobRecord Record, JobState State) ReadState()
    {
        var self = LockOwner.Current("");
        var record = Read();
        var state = record.StateFor(self, LockOwner.StartOf);
        if (state == JobState.Died)
        {
            // It may have ended, and recorded that, since its record was read.
            record = Read();
            state = record.StateFor(self, LockOwner.StartOf);
        }

        return (record, state == JobState.Running && StopIsRequested ? JobState.Stopping : state);
    }

    /// <summary>The last lines that the process wrote.</summary>
    /// <param name="lines">The most lines.</param>
    /// <param name="maxBytes">The most bytes that are read.</param>
    public IReadOnlyList<string> LastLines(int lines, int maxBytes = 1 << 16)
    {
        if (!File.Exists(LogPath))
        {
            return [];
        }

        using var file = RegularFile.Open(LogPath);
        var length = RandomAccess.GetLength(file);
        var bytes = new byte[Math.Min(length, maxBytes)];
        var text = Encoding.UTF8.GetString(bytes.AsSpan(0, RegularFile.Read(file, bytes, length - bytes.Length)));
        var all = text.TrimEnd('\n').Split('\n');
        // The first line may have lost its beginning.
        return [.. all.Skip(bytes.Length < length ? 1 : 0).TakeLast(lines).Select(line => line.TrimEnd('\r'))];
    }
}
