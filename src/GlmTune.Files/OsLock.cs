using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace GlmTune.Files;

/// <summary>The outcome of asking the operating system for a lock.</summary>
internal enum OsLockResult
{
    /// <summary>This process has it until the handle is disposed.</summary>
    Taken,

    /// <summary>Another handle has it, in another process or in this one.</summary>
    HeldByAnother,

    /// <summary>The system or the file system has no such locks.</summary>
    Unsupported,
}

/// <summary>Exclusive locks of the operating system on files and folders. They end with the process that holds them,
/// however it ends.</summary>
/// <remarks>On Linux these are <c>flock</c> locks, which NFS passes on to its server unless it is mounted with
/// <c>nolock</c> or <c>local_lock</c>; Lustre refuses them unless it is mounted with <c>flock</c>. So a lock proves
/// nothing about processes on other machines. The locks of .NET's own <see cref="FileShare"/> would also keep others
/// from reading the file.</remarks>
internal static partial class OsLock
{
    private const int ReadWrite = 0x2;
    private const int CreateIfMissing = 0x40;
    private const int NotInherited = 0x80000;
    private const int Exclusive = 2;
    private const int NoWait = 4;
    private const int WouldBlock = 11;
    private const int Mode = 0b110_100_100;

    /// <summary>Locks a file, which is created if it is missing.</summary>
    /// <returns>The handle is open for reading and writing, also if the lock is unsupported; null if another has the
    /// lock.</returns>
    /// <exception cref="IOException">The file cannot be opened.</exception>
    public static (OsLockResult Result, SafeFileHandle? Handle) OfFile(string path)
    {
        (OsLockResult Result, SafeFileHandle? Handle) taken = default;
        Disk.Run(DiskOperation.Lock, path, () => taken = TakeFile(path));
        return taken;
    }

    private static (OsLockResult Result, SafeFileHandle? Handle) TakeFile(string path)
    {
        if (OperatingSystem.IsLinux())
        {
            var handle = Open(path, ReadWrite | CreateIfMissing | NotInherited, Mode);
            return handle.IsInvalid
                ? throw new IOException($"{path}: cannot be opened: {Marshal.GetLastPInvokeErrorMessage()}.")
                : Take(handle);
        }

        try
        {
            var handle = Disk.OpenFile(
                path,
                FileMode.OpenOrCreate,
                FileAccess.ReadWrite,
                OperatingSystem.IsWindows() ? FileShare.Read : FileShare.ReadWrite
            );
            return (OperatingSystem.IsWindows() ? OsLockResult.Taken : OsLockResult.Unsupported, handle);
        }
        catch (IOException error) when (OperatingSystem.IsWindows() && (error.HResult & 0xFFFF) == 32)
        {
            return (OsLockResult.HeldByAnother, null);
        }
    }

    /// <summary>Locks an existing folder.</summary>
    public static (OsLockResult Result, SafeFileHandle? Handle) OfFolder(string path)
    {
        if (!OperatingSystem.IsLinux())
        {
            return (OsLockResult.Unsupported, null);
        }

        (OsLockResult Result, SafeFileHandle? Handle) taken = default;
        try
        {
            Disk.Run(DiskOperation.Lock, path, () => taken = Take(Open(path, NotInherited, 0)));
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return (OsLockResult.Unsupported, null);
        }

        var (result, handle) = taken;
        if (result == OsLockResult.Unsupported)
        {
            handle?.Dispose();
            return (result, null);
        }

        return (result, handle);
    }

    /// <summary>Opens a file that another process may have locked.</summary>
    /// <exception cref="IOException">It cannot be opened.</exception>
    public static SafeFileHandle OpenToRead(string path)
    {
        if (!OperatingSystem.IsLinux())
        {
            return Disk.OpenFile(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
        }

        var handle = Open(path, NotInherited, 0);
        return handle.IsInvalid
            ? throw new IOException($"{path}: cannot be opened: {Marshal.GetLastPInvokeErrorMessage()}.")
            : handle;
    }

    private static (OsLockResult Result, SafeFileHandle? Handle) Take(SafeFileHandle handle)
    {
        if (handle.IsInvalid)
        {
            handle.Dispose();
            return (OsLockResult.Unsupported, null);
        }

        if (Lock(handle, Exclusive | NoWait) == 0)
        {
            return (OsLockResult.Taken, handle);
        }

        if (Marshal.GetLastPInvokeError() != WouldBlock)
        {
            return (OsLockResult.Unsupported, handle);
        }

        handle.Dispose();
        return (OsLockResult.HeldByAnother, null);
    }

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial SafeFileHandle Open(string path, int flags, int mode);

    [LibraryImport("libc", EntryPoint = "flock", SetLastError = true)]
    private static partial int Lock(SafeFileHandle file, int operation);
}
