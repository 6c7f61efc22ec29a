using System.Diagnostics;
using GlmTune.Collectives.Native;
using GlmTune.Files;

namespace GlmTune.Studio.Jobs;

/// <summary>The jobs in a folder: each has a folder of its own, so they are found again by any later studio.</summary>
/// <remarks>Thread-safe.</remarks>
/// <param name="path">The folder.</param>
/// <param name="program">The command that runs this program with some arguments.</param>
internal sealed class JobList(string path, Func<IReadOnlyList<string>, IReadOnlyList<string>> program)
{
    private const int Terminate = 15;
    private static readonly TimeSpan LookEvery = TimeSpan.FromMilliseconds(20);

    private static readonly SemaphoreSlim Changing = new(1);

    /// <summary>The folder of a job, whether there is such a job or not.</summary>
    public JobFolder FolderOf(string name) => new(Path.Combine(path, name));

    /// <summary>All jobs, the newest first; those whose record cannot be read have a problem instead of a
    /// record.</summary>
    public IReadOnlyList<JobEntry> List() =>
        !Directory.Exists(path)
            ? []
            :
            [
                .. Directory
                    .EnumerateDirectories(path)
                    .Select(folder => new JobFolder(folder))
                    .Where(folder => folder.Exists)
                    .Select(EntryOf)
                    .OrderByDescending(entry => entry.Record?.Created)
                    .ThenBy(entry => entry.Name, StringComparer.Ordinal),
            ];

    /// <summary>One job; null if there is none of that name.</summary>
    public JobEntry? Find(string name) => FolderOf(name) is { Exists: true } folder ? EntryOf(folder) : null;

    /// <summary>Starts a job, and returns once its process has recorded itself or failed to.</summary>
    /// <param name="name">Name of the job.</param>
    /// <param name="arguments">The command.</param>
    /// <param name="workingFolder">Where it runs.</param>
    /// <exception cref="InvalidDataException">The job runs already, or its process cannot be started.</exception>
    /// <exception cref="IOException">The record cannot be written.</exception>
    public async Task<JobEntry> StartAsync(string name, IReadOnlyList<string> arguments, string workingFolder)
    {
        var folder = FolderOf(name);
        await Changing.WaitAsync();
        try
        {
            var known = folder.Exists ? EntryOf(folder) : null;
            if (known is { IsOver: false })
            {
                throw new InvalidDataException($"The job '{name}' is running already.");
            }

            Disk.CreateFolder(folder.FullPath);
            folder.ForgetStop();
            folder.Write(
                new JobRecord
                {
                    Name = name,
                    Arguments = arguments,
                    WorkingFolder = workingFolder,
                    Created = known?.Record?.Created ?? TimeProvider.System.GetUtcNow(),
                    Launcher = LockOwner.Current(name),
                }
            );
            await LaunchAsync(folder, workingFolder);
        }
        finally
        {
            Changing.Release();
        }

        return EntryOf(folder);
    }

    /// <summary>Asks a job to stop; it saves and ends by itself.</summary>
    /// <returns>Whether it was running.</returns>
    public bool Stop(string name)
    {
        var folder = FolderOf(name);
        if (!folder.Exists || EntryOf(folder) is not { Record.Process: { } process, IsOver: false })
        {
            return false;
        }

        folder.RequestStop();
        // Windows has no such signal; there the job looks for the file.
        return OperatingSystem.IsWindows()
            || LockOwner.StartOf(process.Pid) == process.Started && HostProcess.Signal(process.Pid, Terminate);
    }

    private static JobEntry EntryOf(JobFolder folder)
    {
        var name = Path.GetFileName(folder.FullPath);
        try
        {
            var (record, state) = folder.ReadState();
            return new JobEntry(name, folder, record, state, null);
        }
        catch (Exception error) when (error is InvalidDataException or IOException or UnauthorizedAccessException)
        {
            return new JobEntry(name, folder, null, JobState.Died, error.Message);
        }
    }

    private async Task LaunchAsync(JobFolder folder, string workingFolder)
    {
        var command = Command(folder);
        using var process =
            Process.Start(
                new ProcessStartInfo(command[0], command.Skip(1))
                {
                    CreateNoWindow = true,
                    WorkingDirectory = workingFolder,
                }
            ) ?? throw new InvalidDataException($"{command[0]}: could not be started.");
        while (folder.Read().Stage == JobStage.Starting && !process.HasExited)
        {
            await Task.Delay(LookEvery);
        }

        if (folder.Read() is { Stage: JobStage.Starting } record)
        {
            folder.Write(
                record with
                {
                    Stage = JobStage.Ended,
                    ExitCode = process.ExitCode == 0 ? 1 : process.ExitCode,
                    Ended = TimeProvider.System.GetUtcNow(),
                }
            );
        }
    }

    // A shell opens the log, so that also what a process says when it cannot start is in it.
    private IReadOnlyList<string> Command(JobFolder folder)
    {
        var own = program([JobProcess.CommandName, folder.FullPath]);
        return OperatingSystem.IsWindows()
            ? own
            : ["/bin/sh", "-c", """log=$1; shift; exec "$@" </dev/null >>"$log" 2>&1""", "sh", folder.LogPath, .. own];
    }
}

/// <summary>A job and its state.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Folder">Its folder.</param>
/// <param name="Record">Its record; null if that cannot be read.</param>
/// <param name="State">Its state.</param>
/// <param name="Problem">Why the record cannot be read; null if it can.</param>
internal sealed record JobEntry(string Name, JobFolder Folder, JobRecord? Record, JobState State, string? Problem)
{
    /// <summary>Whether it has no process any more.</summary>
    public bool IsOver => State is not (JobState.Starting or JobState.Running or JobState.Stopping);
}
