#pragma warning disable RS0030 // The one place that calls these methods.
using Microsoft.Win32.SafeHandles;

namespace GlmTune.Files;

/// <summary>All operations that change files and folders, and those that open, read and list them. Everything that
/// saves, loads, logs or exports goes through here, so that a test can let any single operation fail.</summary>
/// <remarks>Without a <see cref="DiskWatcher"/> each method is the one of .NET or of the system. A watcher is seen by
/// the code that runs in the same logical call, including threads and tasks that it starts, and not by other tests.
/// The methods of .NET are banned elsewhere (BannedSymbols.txt). Questions that cannot fail, such as
/// <see cref="File.Exists"/>, and mapped memory do not pass through here.</remarks>
internal static class Disk
{
    private static readonly AsyncLocal<DiskWatcher?> Current = new();
    private static volatile bool everWatched;
    private static long operations;

    /// <summary>Number of files to work on at once; one while operations are watched, so that their order is fixed; -1:
    /// no limit.</summary>
    public static int Parallelism => Watcher is null ? -1 : 1;

    /// <summary>Number of operations that this process has finished: a sign of progress while it reads or writes large
    /// files.</summary>
    public static long Operations => Volatile.Read(ref operations);

    private static DiskWatcher? Watcher => everWatched ? Current.Value : null;

    /// <summary>Lets a watcher carry out the operations of this call and of what it starts, until the result is
    /// disposed.</summary>
    public static IDisposable Watch(DiskWatcher watcher)
    {
        everWatched = true;
        var before = Current.Value;
        Current.Value = watcher;
        return new Watching(before);
    }

    /// <summary>Creates a folder and the missing ones above it, and flushes the folders that name them.</summary>
    /// <exception cref="IOException">It cannot be created.</exception>
    /// <exception cref="UnauthorizedAccessException">The permissions do not allow it.</exception>
    public static void CreateFolder(string path)
    {
        Stack<string> missing = [];
        for (
            var folder = Path.TrimEndingDirectorySeparator(Path.GetFullPath(path));
            folder is not null && !Directory.Exists(folder);
            folder = Path.GetDirectoryName(folder)
        )
        {
            missing.Push(folder);
        }

        foreach (var folder in missing)
        {
            Run(DiskOperation.CreateFolder, folder, () => Directory.CreateDirectory(folder));
            Storage.FlushFolder(Storage.ParentOf(folder));
        }
    }

    /// <summary>Creates a folder that only the user may enter, if it is missing. On Windows it inherits its
    /// permissions.</summary>
    /// <exception cref="IOException">It cannot be created.</exception>
    public static void CreatePrivateFolder(string path)
    {
        CreateFolder(Storage.ParentOf(path));
        Run(
            DiskOperation.CreateFolder,
            path,
            () =>
                _ = OperatingSystem.IsWindows()
                    ? Directory.CreateDirectory(path)
                    : Directory.CreateDirectory(
                        path,
                        UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute
                    )
        );
    }

    /// <summary>Writes a file that only the user may read; one of that name is replaced. On Windows it inherits its
    /// permissions.</summary>
    /// <exception cref="IOException">It cannot be written.</exception>
    public static void WritePrivateFile(string path, byte[] bytes)
    {
        var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write };
        if (!OperatingSystem.IsWindows())
        {
            options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        }

        var aside = AtomicFile.AsideOf(path);
        Run(
            DiskOperation.Write,
            aside,
            () =>
            {
                using var file = new FileStream(aside, options);
                file.Write(bytes);
                file.Flush(flushToDisk: true);
            }
        );
        AtomicFile.Publish(aside, path);
    }

    /// <summary>The files in a folder, in ordinal order.</summary>
    public static string[] Files(string folder, string pattern = "*", bool recurse = false) =>
        Listed(Directory.GetFiles, folder, pattern, recurse);

    /// <summary>The folders in a folder, in ordinal order.</summary>
    public static string[] Folders(string folder, string pattern = "*", bool recurse = false) =>
        Listed(Directory.GetDirectories, folder, pattern, recurse);

    /// <summary>Renames a file; one with the new name is replaced, in one step.</summary>
    public static void MoveFile(string from, string to) =>
        Run(DiskOperation.Rename, from, () => File.Move(from, to, overwrite: true), to);

    /// <summary>Renames a folder, in one step.</summary>
    public static void MoveFolder(string from, string to) =>
        Run(DiskOperation.Rename, from, () => Directory.Move(from, to), to);

    /// <summary>Swaps two folders in one step; false if the system does not support it.</summary>
    public static bool TryExchange(string first, string second)
    {
        try
        {
            Run(DiskOperation.Exchange, first, Exchange, second);
            return true;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return false;
        }

        void Exchange()
        {
            if (!Storage.TryExchange(first, second))
            {
                throw new IOException($"{first}: cannot be exchanged with {second}.");
            }
        }
    }

    /// <summary>Deletes a file, if it exists.</summary>
    public static void DeleteFile(string path)
    {
        if (File.Exists(path) || new FileInfo(path).LinkTarget is not null)
        {
            Run(DiskOperation.Delete, path, () => File.Delete(path));
        }
    }

    /// <summary>Deletes a file as far as that is possible: for cleaning up after an error, which a second one must not
    /// hide.</summary>
    public static void TryDeleteFile(string path)
    {
        try
        {
            DeleteFile(path);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            // A file with a temporary name stays.
        }
    }

    /// <summary>Deletes an empty folder.</summary>
    public static void DeleteEmptyFolder(string path) =>
        Run(DiskOperation.DeleteFolder, path, () => Directory.Delete(path));

    /// <summary>Deletes a folder and its content, if it exists; not in one step. Links in it are deleted, not
    /// followed.</summary>
    public static void DeleteFolder(string path)
    {
        if (!Directory.Exists(path))
        {
            return;
        }

        if (Watcher is null)
        {
            Directory.Delete(path, recursive: true);
            return;
        }

        foreach (var entry in Directory.GetFileSystemEntries(path).Order(StringComparer.Ordinal))
        {
            if (Directory.Exists(entry) && new FileInfo(entry).LinkTarget is null)
            {
                DeleteFolder(entry);
            }
            else
            {
                DeleteFile(entry);
            }
        }

        DeleteEmptyFolder(path);
    }

    /// <summary>Opens a file, for writing unless said otherwise.</summary>
    /// <param name="path">The file.</param>
    /// <param name="mode">Whether it must, may or must not exist.</param>
    /// <param name="access">Whether it is read, written or both.</param>
    /// <param name="share">What others may do with it meanwhile.</param>
    /// <param name="size">Bytes to reserve; 0: none.</param>
    /// <exception cref="IOException">It cannot be opened, or there is too little space.</exception>
    /// <exception cref="UnauthorizedAccessException">The permissions do not allow it.</exception>
    public static SafeFileHandle OpenFile(
        string path,
        FileMode mode,
        FileAccess access = FileAccess.Write,
        FileShare share = FileShare.None,
        long size = 0
    )
    {
        SafeFileHandle? handle = null;
        Run(
            access == FileAccess.Read ? DiskOperation.Open : DiskOperation.Create,
            path,
            () => handle = File.OpenHandle(path, mode, access, share, FileOptions.None, size)
        );
        return handle!;
    }

    /// <summary>Writes all bytes at an offset of a file.</summary>
    public static void Write(SafeFileHandle handle, string path, ReadOnlySpan<byte> bytes, long offset)
    {
        if (Watcher is not { } watcher)
        {
            RandomAccess.Write(handle, bytes, offset);
            Interlocked.Increment(ref operations);
            return;
        }

        var copy = bytes.ToArray();
        watcher.Run(
            new DiskCall(DiskOperation.Write, path, Bytes: copy.Length),
            count => RandomAccess.Write(handle, copy.AsSpan(0, count), offset)
        );
    }

    /// <summary>Reads up to a number of bytes at an offset of a file; 0 at its end.</summary>
    public static int Read(SafeFileHandle handle, Span<byte> bytes, long offset)
    {
        if (Watcher is not { } watcher)
        {
            var count = RandomAccess.Read(handle, bytes, offset);
            Interlocked.Increment(ref operations);
            return count;
        }

        var copy = new byte[bytes.Length];
        var read = 0;
        watcher.Run(
            new DiskCall(DiskOperation.Read, RegularFile.PathOf(handle) ?? "", Bytes: copy.Length),
            _ => read = RandomAccess.Read(handle, copy, offset)
        );
        copy.AsSpan(0, read).CopyTo(bytes);
        return read;
    }

    /// <summary>Sets the length of a file.</summary>
    public static void SetLength(SafeFileHandle handle, string path, long length) =>
        Run(DiskOperation.SetLength, path, () => RandomAccess.SetLength(handle, length));

    /// <summary>Waits until the content of an open file is on disk.</summary>
    public static void Flush(SafeFileHandle handle, string path) =>
        Run(DiskOperation.Flush, path, () => RandomAccess.FlushToDisk(handle));

    /// <summary>Carries out an operation that has no method here.</summary>
    public static void Run(DiskOperation operation, string path, Action act, string? target = null)
    {
        if (Watcher is { } watcher)
        {
            watcher.Run(new DiskCall(operation, path, target), _ => act());
        }
        else
        {
            act();
        }

        Interlocked.Increment(ref operations);
    }

    /// <summary>Whether operations are watched, so that streams must pass each of theirs.</summary>
    internal static bool IsWatched => Watcher is not null;

    private static string[] Listed(
        Func<string, string, SearchOption, string[]> list,
        string folder,
        string pattern,
        bool recurse
    )
    {
        var depth = recurse ? SearchOption.AllDirectories : SearchOption.TopDirectoryOnly;
        string[] found = [];
        Run(DiskOperation.List, folder, () => found = list(folder, pattern, depth));
        Array.Sort(found, StringComparer.Ordinal);
        return found;
    }

    private sealed class Watching(DiskWatcher? before) : IDisposable
    {
        public void Dispose() => Current.Value = before;
    }
}
