using System.Diagnostics;
using GlmTune.Files;
using Microsoft.Win32.SafeHandles;

namespace GlmTune.Data.Preprocessing;

/// <summary>Lets one process at a time tokenize the same rows. Saves work; nothing goes wrong if two do it.</summary>
internal sealed class BuildLock : IDisposable
{
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(50);

    private readonly string path;
    private readonly SafeFileHandle? handle;

    private BuildLock(string path, SafeFileHandle? handle) => (this.path, this.handle) = (path, handle);

    /// <summary>Waits until this process may tokenize the rows, or another has done it.</summary>
    /// <param name="folder">Folder of the cache.</param>
    /// <param name="key">Key of the rows.</param>
    /// <param name="isDone">Whether they are there.</param>
    /// <param name="patience">How long the other may make no progress.</param>
    /// <param name="waiting">Called before each look.</param>
    /// <param name="stop">Cancels waiting.</param>
    /// <exception cref="IOException">The lock's file cannot be opened.</exception>
    public static BuildLock Take(
        string folder,
        string key,
        Func<bool> isDone,
        TimeSpan patience,
        Action? waiting,
        CancellationToken stop
    )
    {
        var path = Path.Combine(folder, $"{key}.lock");
        var (progress, since) = (-1L, Stopwatch.StartNew());
        while (true)
        {
            var (result, handle) = OsLock.OfFile(path);
            if (result != OsLockResult.HeldByAnother)
            {
                return new BuildLock(path, handle);
            }

            var bytes = RowCacheFiles.BytesBeingWritten(folder, key);
            if (bytes != progress)
            {
                progress = bytes;
                since.Restart();
            }

            if (isDone() || since.Elapsed > patience)
            {
                return new BuildLock(path, null);
            }

            waiting?.Invoke();
            stop.WaitHandle.WaitOne(Interval);
            stop.ThrowIfCancellationRequested();
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (handle is null)
        {
            return;
        }

        using (handle)
        {
            // One that has opened the file before this and locks it now has a lock of its own, which does no harm.
            Disk.TryDeleteFile(path);
        }
    }
}
