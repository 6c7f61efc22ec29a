using System.Diagnostics;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using GlmTune.Checkpoints;
using GlmTune.Files;
using GlmTune.Files.Json;

namespace GlmTune.Runs;

/// <summary>Read-only access to a run's output folder: one of this program with a log, or any folder with a
/// <c>trainer_state.json</c>, as Hugging Face's trainer writes.</summary>
/// <remarks>Whoever can write to the folder decides what is in it, so only regular files are read, no links are
/// followed, and sizes are bounded. Thread-safe.</remarks>
internal sealed class RunFolder
{
    /// <summary>The most folders that one search looks into.</summary>
    public const int MaxSearched = 10_000;

    private const int DeepestSearch = 4;
    private const int MaxChildren = 10_000;
    private const int MaxSettingsBytes = 1 << 20;
    private const int MaxSettingsDepth = 32;

    // Maximum points per curve for the current state.
    private const int MaxPoints = 4096;

    // How long one call of ReadStatus reads a long log; the next one continues.
    private static readonly TimeSpan LongestRead = TimeSpan.FromSeconds(0.5);
    private static readonly TimeSpan LongestSilence = TimeSpan.FromMinutes(10);
    private readonly Lock reading = new();
    private readonly string root;
    private RunHistory history = new(MaxPoints);
    private string? problem;
    private long readUpTo;

    private RunFolder(string root, string path, string name)
    {
        (this.root, FullPath, Name) = (root, path, name);
        Id = IdOf(path);
    }

    /// <summary>The folder's path.</summary>
    public string FullPath { get; }

    /// <summary>Its path relative to the folder that was searched, or its own name if it is that folder.</summary>
    public string Name { get; }

    /// <summary>Identifies the run in URLs; stable, and does not reveal its path.</summary>
    public string Id { get; }

    private string LogPath => Path.Combine(FullPath, RunLog.FileName);

    /// <summary>The id of the run in a folder.</summary>
    /// <param name="path">The folder's full path.</param>
    public static string IdOf(string path) =>
        Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(path)))[..12];

    /// <summary>Finds the runs in a folder: the folder itself, and those below it.</summary>
    /// <param name="root">The folder to search; one that does not exist contains no runs.</param>
    public static IReadOnlyList<RunFolder> Find(string root)
    {
        var found = new List<RunFolder>();
        root = Path.TrimEndingDirectorySeparator(Path.GetFullPath(root));
        var real = RegularFile.RealPath(root);
        var searched = 0;
        Search(root, 0);
        return found;

        void Search(string folder, int depth)
        {
            if (++searched > MaxSearched)
            {
                return;
            }

            if (File.Exists(Path.Combine(folder, RunLog.FileName)) || NewestState(folder) is not null)
            {
                found.Add(
                    new RunFolder(
                        real,
                        folder,
                        depth == 0 ? Path.GetFileName(folder) : Path.GetRelativePath(root, folder).Replace('\\', '/')
                    )
                );
            }

            if (depth < DeepestSearch)
            {
                foreach (
                    var child in VisibleFolders
                        .In(folder, MaxChildren)
                        .Where(child => !IsPartOfRun(child))
                        .Order(StringComparer.Ordinal)
                )
                {
                    Search(child, depth + 1);
                }
            }
        }
    }

    /// <summary>The run's description; null if no file has one.</summary>
    /// <exception cref="InvalidDataException">A file is damaged, or may not be read because it leads
    /// elsewhere.</exception>
    /// <exception cref="IOException">A file cannot be read.</exception>
    /// <exception cref="UnauthorizedAccessException">A file may not be read.</exception>
    public JsonNode? Describe()
    {
        if (ReadDescription() is { } description)
        {
            return description.ToJson();
        }

        if (NewestState(FullPath) is not { } state)
        {
            return null;
        }
        // What can be learned from a folder of a Python trainer: sizes, and the adapter's configuration.
        var recipe = new JsonObject();
        AddSettings(
            recipe,
            "training",
            state,
            "train_batch_size",
            "num_train_epochs",
            "max_steps",
            "logging_steps",
            "eval_steps",
            "save_steps"
        );
        AddSettings(recipe, "adapter", Path.Combine(Path.GetDirectoryName(state)!, "adapter_config.json"));
        return new JsonObject { ["recipe"] = recipe };
    }

    /// <summary>The contents of <c>run.json</c>; null if there is none.</summary>
    /// <inheritdoc cref="Describe"/>
    public RunDescription? ReadDescription()
    {
        var path = Path.Combine(FullPath, RunDescription.FileName);
        return Bytes(path, RunDescription.MaxBytes) is { } bytes ? RunDescription.Parse(bytes, path) : null;
    }

    /// <summary>The lines of the log from an offset; a run without a log gets lines made from its history.</summary>
    /// <param name="from">Offset at which the last call ended; 0: the beginning.</param>
    /// <exception cref="InvalidDataException">A file is not a regular one, or leads elsewhere.</exception>
    /// <exception cref="IOException">A file cannot be read.</exception>
    /// <exception cref="UnauthorizedAccessException">A file may not be read.</exception>
    public RunLogPart ReadLog(long from)
    {
        var path = File.Exists(LogPath) ? LogPath : NewestState(FullPath);
        using var file = path is null ? null : RegularFile.OpenBelow(root, path);
        return path == LogPath ? RunLogReader.Read(file!, from) : StateLog.Read(file, path ?? "", from);
    }

    /// <summary>The current state of the run.</summary>
    /// <remarks>A long log is read over several calls; until then the state is that of the part read so far.</remarks>
    /// <exception cref="InvalidDataException">A file is not a regular one, or leads elsewhere.</exception>
    /// <exception cref="IOException">A file cannot be read.</exception>
    /// <exception cref="UnauthorizedAccessException">A file may not be read.</exception>
    public RunStatus ReadStatus()
    {
        lock (reading)
        {
            var began = Stopwatch.GetTimestamp();
            RunLogPart part;
            do
            {
                part = ReadLog(readUpTo);
                if (part.From != readUpTo)
                {
                    (history, problem) = (new RunHistory(MaxPoints), null);
                }

                foreach (var line in part.Lines)
                {
                    history.Add(line);
                }

                problem = part.Problem ?? problem;
                readUpTo = part.Next;
            } while (part.HasMore && Stopwatch.GetElapsedTime(began) < LongestRead);
            return new RunStatus(
                history.End ?? (IsAlive() ? RunState.Running : RunState.Lost),
                history.Step,
                history.TotalSteps,
                history.LastTime,
                history.Error,
                history.Last("loss"),
                history.Last("eval_loss")
            )
            {
                Problem = problem,
                TokensPerSecond = history.Last("tokens_per_second"),
            };
        }
    }

    /// <summary>The newest <c>trainer_state.json</c> of a folder or its checkpoints; null if there is none.</summary>
    internal static string? NewestState(string folder) =>
        VisibleFolders
            .In(folder, MaxChildren)
            .Where(child => Path.GetFileName(child).StartsWith("checkpoint-", StringComparison.Ordinal))
            .OrderByDescending(child =>
                long.TryParse(Path.GetFileName(child)["checkpoint-".Length..], out var step) ? step : -1
            )
            .Prepend(folder)
            .Select(child => Path.Combine(child, TrainerStateFile.FileName))
            .FirstOrDefault(File.Exists);

    private static bool IsPartOfRun(string folder)
    {
        var name = Path.GetFileName(folder);
        return name.StartsWith("checkpoint-", StringComparison.Ordinal)
            || name.StartsWith("tmp-", StringComparison.Ordinal)
            || name.StartsWith('.');
    }

    // Ask for the process if it is on this machine; otherwise, check whether it wrote recently.
    private bool IsAlive()
    {
        if (history.Host == Environment.MachineName && history.Process is { } id)
        {
            try
            {
                using var process = Process.GetProcessById(id);
                return !process.HasExited;
            }
            catch (Exception error)
                when (error is ArgumentException or InvalidOperationException or System.ComponentModel.Win32Exception)
            {
                return false;
            }
        }

        return history.LastTime is { } last && DateTimeOffset.UtcNow - last < LongestSilence;
    }

    private void AddSettings(JsonObject recipe, string section, string path, params string[] names)
    {
        byte[]? bytes;
        try
        {
            bytes = Bytes(path, MaxSettingsBytes);
        }
        catch (Exception error) when (error is InvalidDataException or IOException or UnauthorizedAccessException)
        {
            return; // Only part of what is shown; the curves do not need it.
        }

        if (
            bytes is not null
            && JsonFile.TryParse(PythonJson.WithoutBareWords(bytes), out var settings, MaxSettingsDepth) is null
            && settings.ValueKind == JsonValueKind.Object
        )
        {
            recipe[section] = new JsonObject(
                JsonObject
                    .Create(settings)!
                    .Where(pair => names.Length == 0 || names.Contains(pair.Key))
                    .Select(pair => KeyValuePair.Create(pair.Key, pair.Value?.DeepClone()))
            );
        }
    }

    private byte[]? Bytes(string path, int maxBytes)
    {
        if (!File.Exists(path))
        {
            return null;
        }

        using var file = RegularFile.OpenBelow(root, path);
        return RegularFile.ReadBytes(file, path, maxBytes);
    }
}

/// <summary>The current state of a run.</summary>
/// <param name="State">Whether it is running, and if not, how it ended.</param>
/// <param name="Step">The last finished step.</param>
/// <param name="TotalSteps">Steps of the whole run; 0 if unknown.</param>
/// <param name="LastTime">When it last wrote to its log.</param>
/// <param name="Error">The error that ended it.</param>
/// <param name="Loss">Loss of the last step.</param>
/// <param name="EvaluationLoss">Loss of the last evaluation.</param>
internal sealed record RunStatus(
    RunState State,
    long Step,
    long TotalSteps,
    DateTimeOffset? LastTime,
    string? Error,
    double? Loss,
    double? EvaluationLoss
)
{
    /// <summary>What is wrong with its files, in a sentence; null if nothing is.</summary>
    public string? Problem { get; init; }

    /// <summary>Speed of the last step.</summary>
    public double? TokensPerSecond { get; init; }
}
