using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace GlmTune.Files;

/// <summary>File operations of the operating system that .NET lacks: flushing and swapping folders.</summary>
internal static partial class Storage
{
    private const int CurrentFolder = -100; // AT_FDCWD
    private const uint Exchange = 2; // RENAME_EXCHANGE

    /// <summary>Fills the span from an offset in the file; false if the file ends before that.</summary>
    public static bool TryReadExactly(SafeFileHandle handle, Span<byte> destination, long offset)
    {
        while (destination.Length > 0)
        {
            var read = Disk.Read(handle, destination, offset);
            if (read == 0)
            {
                return false;
            }

            destination = destination[read..];
            offset += read;
        }

        return true;
    }

    /// <summary>Waits until a file's content is on disk.</summary>
    public static void FlushFile(string path)
    {
        using var handle = Disk.OpenFile(
            path,
            FileMode.Open,
            OperatingSystem.IsWindows() ? FileAccess.ReadWrite : FileAccess.Read,
            FileShare.ReadWrite
        );
        Disk.Flush(handle, path);
    }

    /// <summary>Waits until a folder's list of names is on disk, so that a rename survives a power failure.</summary>
    public static void FlushFolder(string path)
    {
        // NTFS journals names by itself and has no call for this.
        if (!OperatingSystem.IsWindows())
        {
            Disk.Run(DiskOperation.FlushFolder, path, () => FlushNames(path));
        }
    }

    private static void FlushNames(string path)
    {
        const int notPermitted = 13;
        var descriptor = Open(path, 0);
        if (descriptor < 0 && Marshal.GetLastPInvokeError() == notPermitted)
        {
            return; // A folder may be written to without being readable; nothing more can be done there.
        }

        if (descriptor < 0)
        {
            throw new IOException($"{path}: cannot be opened for flushing: {Marshal.GetLastPInvokeErrorMessage()}.");
        }

        try
        {
            // Some file systems (network, user space) cannot flush a folder and say so; nothing more can be done there.
            const int invalid = 22,
                notImplemented = 38,
                notSupported = 95;
            if (
                Flush(descriptor) != 0
                && Marshal.GetLastPInvokeError() is var error and not (invalid or notImplemented or notSupported)
            )
            {
                throw new IOException($"{path}: cannot be flushed: {Marshal.GetPInvokeErrorMessage(error)}.");
            }
        }
        finally
        {
            _ = Close(descriptor);
        }
    }

    /// <summary>Swaps two folders in one step; false if the system does not support it.</summary>
    public static bool TryExchange(string first, string second)
    {
        try
        {
            return OperatingSystem.IsLinux() && RenameAt(CurrentFolder, first, CurrentFolder, second, Exchange) == 0;
        }
        catch (EntryPointNotFoundException)
        {
            return false; // a C library from before 2018
        }
    }

    /// <summary>The folder that contains a path.</summary>
    public static string ParentOf(string path) =>
        Path.GetDirectoryName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(path)))
        ?? Path.GetPathRoot(Path.GetFullPath(path))!;

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Open(string path, int flags);

    [LibraryImport("libc", EntryPoint = "fsync", SetLastError = true)]
    private static partial int Flush(int descriptor);

    [LibraryImport("libc", EntryPoint = "close", SetLastError = true)]
    private static partial int Close(int descriptor);

    [LibraryImport("libc", EntryPoint = "renameat2", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int RenameAt(int firstFolder, string first, int secondFolder, string second, uint flags);
}
