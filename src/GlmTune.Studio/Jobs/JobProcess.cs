using GlmTune.Collectives.Native;
using GlmTune.Files;

namespace GlmTune.Studio.Jobs;

/// <summary>The process of a job, seen from inside: <c>glmtune job FOLDER</c>.</summary>
/// <remarks>It leaves the session of the studio that started it, so it goes on when the studio or its terminal is
/// closed.</remarks>
internal sealed class JobProcess
{
    /// <summary>The command that the studio starts.</summary>
    public const string CommandName = "job";

    private static readonly TimeSpan LookEvery = TimeSpan.FromSeconds(1);

    private readonly JobFolder folder;
    private readonly Lock sync = new();
    private bool hasEnded;

    private JobProcess(JobFolder folder) => this.folder = folder;

    /// <summary>The job of this process; null if it is none.</summary>
    public static JobProcess? Current { get; private set; }

    /// <summary>Makes this process that of a job, if its command line says so.</summary>
    /// <param name="arguments">The command line.</param>
    /// <param name="heeds">Called before the job can be found, so that it is able to stop from then on.</param>
    /// <exception cref="InvalidDataException">The folder has no readable record.</exception>
    /// <exception cref="IOException">The record or the log cannot be written.</exception>
    public static void BeginIfAsked(IReadOnlyList<string> arguments, Action heeds)
    {
        if (arguments is not [CommandName, var path] || path.StartsWith('-'))
        {
            return;
        }

        var job = new JobProcess(new JobFolder(path));
        var record = job.folder.Read();
        Directory.SetCurrentDirectory(record.WorkingFolder);
        heeds();
        job.folder.Write(
            record with
            {
                Stage = JobStage.Running,
                Process = LockOwner.Current(record.Name),
                ExitCode = null,
                Ended = null,
            }
        );
        Current = job;
        // Something may end the process without a return, such as a second signal.
        AppDomain.CurrentDomain.ProcessExit += (_, _) => job.End(Environment.ExitCode);
        HostProcess.LeaveSession();
    }

    /// <summary>The command that this job runs.</summary>
    public IReadOnlyList<string> Arguments => folder.Read().Arguments;

    /// <summary>Where the system has no signal for it: calls back once the studio wishes that the job stops.</summary>
    /// <returns>What ends the watch; null where a signal comes.</returns>
    public IDisposable? WatchForStop(Action stop) =>
        OperatingSystem.IsWindows()
            ? TimeProvider.System.CreateTimer(
                _ =>
                {
                    if (folder.StopIsRequested)
                    {
                        stop();
                    }
                },
                null,
                TimeSpan.Zero,
                LookEvery
            )
            : null;

    /// <summary>Where the job's output goes if it was started without its log as its streams; null otherwise.</summary>
    public TextWriter? OpenOwnLog()
    {
        if (!OperatingSystem.IsWindows())
        {
            return null;
        }

        var file = new DiskFile(folder.LogPath, FileMode.OpenOrCreate, share: FileShare.ReadWrite);
        file.Seek(0, SeekOrigin.End);
        return TextWriter.Synchronized(new StreamWriter(file) { AutoFlush = true });
    }

    /// <summary>Records how the job ended.</summary>
    public void End(int exitCode)
    {
        lock (sync)
        {
            if (!hasEnded)
            {
                hasEnded = true;
                folder.Write(
                    folder.Read() with
                    {
                        Stage = JobStage.Ended,
                        ExitCode = exitCode,
                        Ended = TimeProvider.System.GetUtcNow(),
                    }
                );
            }
        }
    }
}
