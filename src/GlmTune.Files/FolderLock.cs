using Microsoft.Win32.SafeHandles;

namespace GlmTune.Files;

/// <summary>Keeps a second run out of a folder: a file in it that names the process which uses the folder, locked by
/// the operating system where possible.</summary>
/// <remarks>A process that is killed leaves the file behind. The next one takes it over if the owner has certainly
/// ended: the OS lock is free and the owner ran under the same kernel, or its process number is no longer in use, or
/// its machine has been restarted, or Slurm has restarted its job. An owner on another machine cannot be checked; the
/// folder is refused then, and the message says what to do.</remarks>
internal sealed class FolderLock : IDisposable
{
    /// <summary>Name of the file in the folder.</summary>
    public const string FileName = "run.lock";

    private const int MaxBytes = 1 << 16;
    private const int MaxAttempts = 100;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(1);

    private readonly string path;
    private readonly SafeFileHandle handle;
    private readonly IReadOnlyList<string> made;
    private readonly byte[] record;

    private FolderLock(string path, SafeFileHandle handle, byte[] record, IReadOnlyList<string> made) =>
        (this.path, this.handle, this.record, this.made) = (path, handle, record, made);

    /// <summary>Takes the lock of a folder, which is created if it is missing.</summary>
    /// <param name="folder">The folder.</param>
    /// <param name="run">Id of the run.</param>
    /// <param name="note">Called if the lock of a process that has ended was taken over.</param>
    /// <exception cref="IOException">Another process uses the folder, or the file cannot be written.</exception>
    public static FolderLock Take(string folder, string run, Action<string> note) =>
        Take(folder, LockOwner.Current(run), note);

    internal static FolderLock Take(string folder, LockOwner self, Action<string> note)
    {
        var made = MissingFolders(folder);
        Disk.CreateFolder(folder);
        var path = Path.Combine(folder, FileName);
        // The previous owner may delete the file after it was opened here; then the lock is of no use.
        for (var attempt = 0; attempt < MaxAttempts; attempt++)
        {
            var (os, handle) = OsLock.OfFile(path);
            try
            {
                if (FindHolder(path, os, handle, self) is { } holder)
                {
                    throw new IOException(holder);
                }

                var earlier = Read(handle!);
                var record = self.ToBytes();
                Disk.SetLength(handle!, path, 0);
                Disk.Write(handle!, path, record, 0);
                Disk.Flush(handle!, path);
                if (IsCurrent(path, record))
                {
                    if (earlier is not null && earlier != self)
                    {
                        note(
                            $"{path}: names {earlier.Describe()}, "
                                + $"{earlier.FindReasonGone(self, os, LockOwner.StartOf)}; this run takes the folder "
                                + "over"
                        );
                    }

                    var taken = new FolderLock(path, handle!, record, made);
                    handle = null;
                    return taken;
                }
            }
            finally
            {
                handle?.Dispose();
            }
        }

        throw new IOException(
            $"{path}: what this run wrote there cannot be read back. Check the disk and the file's permissions, or "
                + "choose another output_dir."
        );
    }

    /// <summary>Finds a process that uses a folder; changes nothing.</summary>
    /// <returns>A sentence that names it and says what to do; null if the folder is free.</returns>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static string? FindHolder(string folder)
    {
        var path = Path.Combine(folder, FileName);
        if (!File.Exists(path))
        {
            return null;
        }

        var (os, handle) = OsLock.OfFile(path);
        using (handle)
        {
            return FindHolder(path, os, handle, LockOwner.Current(""));
        }
    }

    /// <summary>Gives the folder back. If the folder was created for the lock and is still empty, it is
    /// removed.</summary>
    public void Dispose()
    {
        using var closed = handle;
        if (!handle.IsClosed && IsCurrent(path, record))
        {
            try
            {
                Disk.DeleteFile(path);
                foreach (var folder in made)
                {
                    Disk.DeleteEmptyFolder(folder);
                }
            }
            catch (Exception error) when (error is IOException or UnauthorizedAccessException)
            {
                // The folder has content, or the disk fails: the next run finds that this process has ended.
            }
        }
    }

    private static string? FindHolder(string path, OsLockResult os, SafeFileHandle? handle, LockOwner self)
    {
        var owner = handle is null ? ReadWhenWritten(path) : Read(handle);
        if (owner is null)
        {
            return os == OsLockResult.HeldByAnother
                ? $"{Path.GetDirectoryName(path)}: another run is using this folder. Wait for it to end, or choose "
                    + "another output_dir."
                : null;
        }

        if (owner.FindReasonGone(self, os, LockOwner.StartOf) is not null)
        {
            return null;
        }

        var isHere = os == OsLockResult.HeldByAnother || owner.Host == self.Host;
        return $"{Path.GetDirectoryName(path)}: another run is using this folder: {owner.Describe()}. "
            + (
                isHere
                    ? "Wait for it to end, stop it, or choose another output_dir."
                    : $"From this machine ({self.Host}) it cannot be seen whether that process still runs. If it has "
                        + $"ended, delete {path}; otherwise choose another output_dir."
            );
    }

    private static LockOwner? Read(SafeFileHandle handle)
    {
        var bytes = new byte[Math.Clamp(RandomAccess.GetLength(handle), 0, MaxBytes)];
        return LockOwner.Parse(bytes.AsSpan(0, Disk.Read(handle, bytes, 0)));
    }

    // An owner that has just taken the lock writes its record right after that.
    private static LockOwner? ReadWhenWritten(string path)
    {
        for (var waited = TimeSpan.Zero; ; waited += TimeSpan.FromMilliseconds(20))
        {
            var bytes = ReadOrEmpty(path);
            if (LockOwner.Parse(bytes) is { } owner || waited > Patience)
            {
                return LockOwner.Parse(bytes);
            }

            Thread.Sleep(20);
        }
    }

    private static bool IsCurrent(string path, byte[] record) => ReadOrEmpty(path).AsSpan().SequenceEqual(record);

    // Opened without .NET's own lock, which would conflict with the owner's.
    private static byte[] ReadOrEmpty(string path)
    {
        try
        {
            using var handle = OsLock.OpenToRead(path);
            var bytes = new byte[Math.Clamp(RandomAccess.GetLength(handle), 0, MaxBytes)];
            return bytes[..Disk.Read(handle, bytes, 0)];
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return [];
        }
    }

    // Deepest first.
    private static List<string> MissingFolders(string folder)
    {
        List<string> missing = [];
        for (
            var path = Path.TrimEndingDirectorySeparator(Path.GetFullPath(folder));
            path is not null && !Directory.Exists(path);
            path = Path.GetDirectoryName(path)
        )
        {
            missing.Add(path);
        }

        return missing;
    }
}
