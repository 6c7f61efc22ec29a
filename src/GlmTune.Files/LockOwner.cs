using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace GlmTune.Files;

/// <summary>The process that holds a <see cref="FolderLock"/>, as recorded in its file.</summary>
/// <param name="Run">Id of the run.</param>
/// <param name="Host">Name of the machine.</param>
/// <param name="Pid">Number of the process.</param>
/// <param name="Started">When the process started, in the system's own units, to tell it from a later process with the
/// same number; null if unknown.</param>
/// <param name="Since">When the lock was taken.</param>
internal sealed record LockOwner(string Run, string Host, int Pid, string? Started, DateTimeOffset Since)
{
    private static readonly JsonSerializerOptions Format = new(JsonLayout.Indented)
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    };

    /// <summary>Identifies the running kernel, so a restart of the machine is noticed; null if unknown.</summary>
    public string? Boot { get; init; }

    /// <summary>Identifies the container's process numbers; null if unknown.</summary>
    public string? PidNamespace { get; init; }

    /// <summary>The Slurm job; null outside Slurm.</summary>
    public string? SlurmJob { get; init; }

    /// <summary>How often Slurm has restarted the job.</summary>
    public int SlurmRestarts { get; init; }

    /// <summary>This process.</summary>
    public static LockOwner Current(string run) =>
        new(
            run,
            Environment.MachineName,
            Environment.ProcessId,
            StartOf(Environment.ProcessId),
            TimeProvider.System.GetLocalNow()
        )
        {
            Boot = ReadOrNull("/proc/sys/kernel/random/boot_id"),
            PidNamespace = LinkOrNull("/proc/self/ns/pid"),
            SlurmJob = Environment.GetEnvironmentVariable("SLURM_JOB_ID"),
            SlurmRestarts = int.TryParse(
                Environment.GetEnvironmentVariable("SLURM_RESTART_COUNT"),
                NumberStyles.None,
                CultureInfo.InvariantCulture,
                out var restarts
            )
                ? restarts
                : 0,
        };

    /// <summary>The record in a lock's file; null if it is empty or not one of ours.</summary>
    public static LockOwner? Parse(ReadOnlySpan<byte> text)
    {
        try
        {
            return text.IsEmpty ? null : JsonSerializer.Deserialize<LockOwner>(text, Format);
        }
        catch (JsonException)
        {
            return null;
        }
    }

    /// <summary>The record as text.</summary>
    public byte[] ToBytes() => [.. JsonSerializer.SerializeToUtf8Bytes(this, Format), (byte)'\n'];

    /// <summary>For messages: host, process and time.</summary>
    public string Describe() =>
        string.Create(CultureInfo.InvariantCulture, $"process {Pid} on {Host}, since {Since:yyyy-MM-dd HH:mm:ss zzz}");

    /// <summary>Why this owner certainly no longer runs; null if it may still run.</summary>
    /// <param name="self">The process that asks.</param>
    /// <param name="os">What the operating system says about the lock.</param>
    /// <param name="startOf">Returns when the process with a number started; null if there is none.</param>
    public string? FindReasonGone(LockOwner self, OsLockResult os, Func<int, string?> startOf)
    {
        if (os == OsLockResult.HeldByAnother)
        {
            return null;
        }

        if (SlurmJob is not null && SlurmJob == self.SlurmJob && self.SlurmRestarts > SlurmRestarts)
        {
            return $"Slurm has restarted job {SlurmJob}";
        }

        // One kernel keeps its locks right, also on network file systems and across containers.
        if (Boot is not null && Boot == self.Boot)
        {
            return os == OsLockResult.Taken || (PidNamespace == self.PidNamespace && startOf(Pid) != Started)
                ? "which has ended"
                : null;
        }

        if (Host == self.Host && os == OsLockResult.Taken && Boot is not null && self.Boot is not null)
        {
            return "which has been restarted since";
        }

        return Host == self.Host && Boot is null && startOf(Pid) != Started ? "which has ended" : null;
    }

    /// <summary>When a process started; null if it does not exist.</summary>
    public static string? StartOf(int pid)
    {
        if (OperatingSystem.IsLinux())
        {
            // Fields after the command's name, which may contain spaces: state is the first, start the 20th.
            var text = ReadOrNull($"/proc/{pid.ToString(CultureInfo.InvariantCulture)}/stat");
            var fields = text?[(text.LastIndexOf(')') + 1)..].Split(' ', StringSplitOptions.RemoveEmptyEntries);
            return fields is { Length: > 19 } && fields[0] is not ("Z" or "X") ? fields[19] : null;
        }

        try
        {
            using var process = Process.GetProcessById(pid);
            return process.StartTime.ToUniversalTime().Ticks.ToString(CultureInfo.InvariantCulture);
        }
        catch (Exception error)
            when (error is ArgumentException or InvalidOperationException or System.ComponentModel.Win32Exception)
        {
            return null;
        }
    }

    private static string? ReadOrNull(string path)
    {
        try
        {
            return File.Exists(path) ? File.ReadAllText(path).Trim() : null;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    private static string? LinkOrNull(string path)
    {
        try
        {
            return new FileInfo(path).LinkTarget;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }
}
