using GlmTune.Checkpoints;
using GlmTune.Files;
using GlmTune.Model.Adapters;
using GlmTune.Recipes.Chat;
using GlmTune.Server;
using GlmTune.Studio.Jobs;

namespace GlmTune.Studio.Chat;

/// <summary>The model that the studio's chat page talks to: <c>glmtune serve</c> in a process of its own, one at a
/// time.</summary>
/// <remarks>Found again after a restart of the studio, like any job. Thread-safe.</remarks>
/// <param name="options">The studio.</param>
/// <param name="jobs">Starts the process.</param>
internal sealed class ChatHost(StudioOptions options, JobList jobs)
{
    /// <summary>Name of the job.</summary>
    public const string JobName = "chat";

    private const string Loopback = "127.0.0.1";
    private const int MaxAddressBytes = 1000;

    private string AddressPath => Path.Combine(jobs.FolderOf(JobName).FullPath, "address");

    private string KeyPath => Path.Combine(jobs.FolderOf(JobName).FullPath, "key");

    private string TitlePath => Path.Combine(jobs.FolderOf(JobName).FullPath, "title");

    /// <summary>The process; null if there never was one.</summary>
    public JobEntry? Entry => jobs.Find(JobName);

    /// <summary>What is chatted with.</summary>
    public string Title => File.Exists(TitlePath) ? RegularFile.ReadText(TitlePath, MaxAddressBytes).Trim() : "";

    /// <summary>Where the model answers, and the key that it requires; null until it does.</summary>
    public (Uri Address, string Key)? Find() =>
        Entry is { IsOver: false }
        && File.Exists(AddressPath)
        && Uri.TryCreate(RegularFile.ReadText(AddressPath, MaxAddressBytes).Trim(), UriKind.Absolute, out var address)
            ? (address, ApiKeyFile.Read(KeyPath)[0])
            : null;

    /// <summary>Starts to load a model, or a checkpoint beside its base model. Another one is ended first.</summary>
    /// <param name="path">Folder of the model or checkpoint.</param>
    /// <param name="title">What names it.</param>
    /// <exception cref="InvalidDataException">It is neither a model nor an adapter with its base.</exception>
    public async Task StartAsync(string path, string title)
    {
        var tuned = TunedPath.Resolve(path, BaseOf(path));
        string[] model = tuned.AdapterFolder is { } adapter
            ? [tuned.ModelFolder, "--adapter", $"{title}={adapter}"]
            : [tuned.ModelFolder, "--name", title];
        await EndAsync();
        var folder = jobs.FolderOf(JobName);
        Disk.CreateFolder(folder.FullPath);
        Disk.DeleteFile(AddressPath);
        Disk.DeleteFile(folder.LogPath);
        StudioKey.Write(KeyPath);
        AtomicFile.WriteText(TitlePath, title);
        await jobs.StartAsync(
            JobName,
            [
                "serve",
                .. model,
                "--host",
                Loopback,
                "--port",
                "0",
                "--api-key-file",
                KeyPath,
                "--address-file",
                AddressPath,
                "--stop-time",
                "1",
            ],
            options.WorkingFolder
        );
    }

    /// <summary>Ends the process, and waits until it has ended.</summary>
    public async Task EndAsync()
    {
        jobs.Stop(JobName);
        while (Entry is { IsOver: false })
        {
            await Task.Delay(TimeSpan.FromMilliseconds(50));
        }
    }

    // Jobs run in the working folder, and so name the base model.
    private string? BaseOf(string path) =>
        AdapterConfigFile.IsIn(path)
        && AdapterConfigFile.Read(path).BaseModel is { Length: > 0 } name
        && Path.GetFullPath(HomePath.Expand(name), options.WorkingFolder) is var folder
        && Directory.Exists(folder)
            ? folder
            : null;

    /// <summary>The newest checkpoint of a run, or the one of a step.</summary>
    /// <param name="run">Output folder of the run.</param>
    /// <param name="step">The step; null: the newest.</param>
    /// <exception cref="InvalidDataException">There is none.</exception>
    public static (string Path, long Step) CheckpointOf(string run, long? step)
    {
        var steps = CheckpointFolder.Steps(run);
        var found = step ?? (steps.Count > 0 ? steps[^1] : -1);
        return steps.Contains(found)
            ? (CheckpointFolder.PathOf(run, found), found)
            : throw new InvalidDataException(
                steps.Count == 0
                    ? "This run has no checkpoint yet."
                    : $"This run has no checkpoint of step {found}; there are: {string.Join(", ", steps)}."
            );
    }
}
