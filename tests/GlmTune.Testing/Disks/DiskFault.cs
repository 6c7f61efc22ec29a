using GlmTune.Files;

namespace GlmTune.Testing.Disks;

/// <summary>How one operation on a disk goes wrong.</summary>
public enum DiskFault
{
    /// <summary>The disk is full (ENOSPC).</summary>
    NoSpace,

    /// <summary>The device reports an error (EIO).</summary>
    IoError,

    /// <summary>The permissions have changed (EACCES).</summary>
    AccessDenied,

    /// <summary>Half of a write succeeds, then the disk is full.</summary>
    ShortWrite,

    /// <summary>A rename is refused (EBUSY).</summary>
    RenameRefused,

    /// <summary>The process is killed before the operation.</summary>
    Killed,

    /// <summary>The process is killed in the middle of a write.</summary>
    TornWrite,

    /// <summary>The power fails before the operation: what was not flushed is lost, whole or in part.</summary>
    PowerCut,
}

/// <summary>Ends a test's process, so to speak: not an error of the disk, so nothing handles it.</summary>
internal sealed class ProcessEndedException() : Exception("The process has ended.");

/// <summary>What each fault can hit, and the exception that .NET makes of it.</summary>
internal static class DiskFaults
{
    public static IReadOnlyList<DiskFault> All { get; } = Enum.GetValues<DiskFault>();

    /// <summary>Whether the process ends with it.</summary>
    public static bool Ends(this DiskFault fault) =>
        fault is DiskFault.Killed or DiskFault.TornWrite or DiskFault.PowerCut;

    public static bool CanHit(this DiskFault fault, DiskCall call) =>
        fault switch
        {
            DiskFault.NoSpace => call.Operation
                is DiskOperation.CreateFolder
                    or DiskOperation.Create
                    or DiskOperation.Write
                    or DiskOperation.SetLength
                    or DiskOperation.Flush
                    or DiskOperation.FlushFolder
                    or DiskOperation.Rename
                    or DiskOperation.Lock,
            DiskFault.AccessDenied => call.Operation
                is DiskOperation.CreateFolder
                    or DiskOperation.List
                    or DiskOperation.Open
                    or DiskOperation.Create
                    or DiskOperation.Rename
                    or DiskOperation.Exchange
                    or DiskOperation.Delete
                    or DiskOperation.DeleteFolder
                    or DiskOperation.Lock,
            DiskFault.ShortWrite or DiskFault.TornWrite => call is { Operation: DiskOperation.Write, Bytes: > 1 },
            DiskFault.RenameRefused => call.Operation is DiskOperation.Rename or DiskOperation.Exchange,
            _ => true,
        };

    public static Exception Error(this DiskFault fault, DiskCall call) =>
        fault switch
        {
            DiskFault.AccessDenied => new UnauthorizedAccessException($"Access to the path '{call.Path}' is denied."),
            DiskFault.IoError => new IOException($"Input/output error : '{call.Path}'", 5),
            DiskFault.RenameRefused => new IOException($"Device or resource busy : '{call.Path}'", 16),
            _ => new IOException($"No space left on device : '{call.Path}'", 28),
        };
}
