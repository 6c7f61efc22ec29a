using System.Diagnostics;
using Microsoft.Win32.SafeHandles;

namespace GlmTune.Files;

/// <summary>Builds a folder atomically: it appears complete, with a manifest to check it by, or not at all, even if the
/// process is killed.</summary>
/// <remarks>Files are created in a temporary folder beside the target. <see cref="Publish"/> flushes them to disk,
/// then writes a <see cref="FolderManifest"/> of their sizes and hashes, and renames the folder. Several processes may
/// fill one folder: each writes to <see cref="TemporaryPath"/>, and one of them creates and publishes it. While the
/// folder is being built, its creator holds an OS lock on it where the file system has such locks, so that no other
/// process takes it for an abandoned one.</remarks>
internal sealed class AtomicFolder : IDisposable
{
    private const string Prefix = "tmp-glmtune-";
    private const string OldPrefix = "tmp-glmtune.old-";
    private const string LeftPrefix = Prefix + "left-";
    private readonly List<string> leftovers = [];
    private readonly string? run;
    private SafeFileHandle? hold;
    private bool published;

    private AtomicFolder(string target, string? run)
    {
        this.run = run;
        Target = target;
        Path = TemporaryPath(target, run);
    }

    /// <summary>Path of the finished folder.</summary>
    public string Target { get; }

    /// <summary>Path of the temporary folder in which its files are created.</summary>
    public string Path { get; }

    /// <summary>Folders from earlier attempts, and replaced folders, that could not be removed, with the reason. They
    /// are harmless; <see cref="RemoveStale(string, Action{string})"/> tries again.</summary>
    public IReadOnlyList<string> Leftovers => leftovers;

    /// <summary>Starts a folder. Whatever an interrupted attempt at the same target left behind is removed, or at least
    /// renamed.</summary>
    /// <param name="target">Path of the finished folder; its parent is created if needed.</param>
    /// <param name="run">Id of the run that writes the folder. It becomes part of the temporary name, so that two runs
    /// never write to the same one, and is recorded in the manifest. Null: a folder that belongs to no run.</param>
    /// <exception cref="IOException">The folder cannot be created, or another process is building it.</exception>
    public static AtomicFolder Create(string target, string? run = null)
    {
        var folder = new AtomicFolder(
            System.IO.Path.TrimEndingDirectorySeparator(System.IO.Path.GetFullPath(target)),
            run
        );
        if (IsHeld(folder.Path))
        {
            throw new IOException(
                $"{target}: another process is writing this folder ({folder.Path}). Wait for it, or choose "
                    + "another folder."
            );
        }

        RestoreOld(Beside(folder.Target, OldPrefix));
        folder.leftovers.AddRange(Clear(folder.Path));
        Disk.CreateFolder(folder.Path);
        folder.hold = OsLock.OfFolder(folder.Path).Handle;
        return folder;
    }

    /// <summary>The folder in which a target is built: beside it, named <c>tmp-glmtune-</c>, the run's id and the
    /// target's name.</summary>
    public static string TemporaryPath(string target, string? run = null) =>
        Beside(target, run is null ? Prefix : $"{Prefix}{run}-");

    /// <summary>Waits until a folder created by another process is visible here: a network file system may show it with
    /// a delay.</summary>
    /// <param name="folder">The folder.</param>
    /// <param name="patience">The longest time to wait.</param>
    /// <returns>Whether it is visible.</returns>
    public static bool WaitFor(string folder, TimeSpan patience)
    {
        // Listing the parent makes such a file system refresh its cache.
        bool IsThere() =>
            Directory.Exists(folder)
            || Inside(Storage.ParentOf(folder), "")
                .Any(each => System.IO.Path.GetFileName(each) == System.IO.Path.GetFileName(folder));
        var from = Stopwatch.GetTimestamp();
        while (!IsThere())
        {
            if (Stopwatch.GetElapsedTime(from) > patience)
            {
                return false;
            }

            Thread.Sleep(100);
        }

        return true;
    }

    /// <summary>Folders that interrupted attempts left behind in <paramref name="parent"/>; empty if it does not
    /// exist.</summary>
    public static IReadOnlyList<string> FindStale(string parent) =>
        [.. Inside(parent, Prefix), .. Inside(parent, OldPrefix)];

    /// <summary>Removes what interrupted attempts left behind in <paramref name="parent"/>, after restoring any folder
    /// that was being replaced. A folder that a living process is building stays.</summary>
    /// <param name="parent">The folder to tidy.</param>
    /// <param name="note">Called for each folder that could not be restored or removed, with the reason. The folder
    /// stays, and the others are still handled.</param>
    /// <returns>The folders removed.</returns>
    public static IReadOnlyList<string> RemoveStale(string parent, Action<string>? note = null)
    {
        // If the only copy of a folder cannot be restored, it must not be removed either.
        List<string> stale =
        [
            .. Inside(parent, OldPrefix).Where(old => Try(old, "cannot be restored", () => RestoreOld(old))),
            .. Inside(parent, Prefix),
        ];
        return
        [
            .. stale
                .Where(folder => Directory.Exists(folder) && !IsHeld(folder))
                .Where(folder => Try(folder, "cannot be removed", () => Disk.DeleteFolder(folder))),
        ];

        bool Try(string folder, string problem, Action act)
        {
            try
            {
                act();
                return true;
            }
            catch (Exception error) when (IsOfDisk(error))
            {
                note?.Invoke($"{folder}: this folder of an interrupted attempt {problem}: {error.Message}");
                return false;
            }
        }
    }

    /// <summary>Removes a folder without leaving a part that could be mistaken for the whole: it is first renamed to a
    /// name that <see cref="RemoveStale(string, Action{string})"/> recognizes.</summary>
    /// <returns>The reason if some of it could not be removed; null on success.</returns>
    public static string? Discard(string folder)
    {
        try
        {
            var stale = TemporaryPath(folder);
            Clear(stale);
            Disk.MoveFolder(folder, stale);
            // Otherwise a power failure could undo the renaming and leave a part under the old name.
            Storage.FlushFolder(Storage.ParentOf(stale));
            Disk.DeleteFolder(stale);
            return null;
        }
        catch (Exception error) when (IsOfDisk(error))
        {
            return error.Message;
        }
    }

    /// <summary>Flushes all files, writes the manifest, and renames the folder to its target.</summary>
    /// <param name="replace">Whether to replace an existing folder, which is removed once the new one is in
    /// place.</param>
    /// <param name="hashes">Passed to <see cref="FolderManifest.Write"/>.</param>
    /// <exception cref="IOException">The target exists and {replace} is false, or the disk fails. An existing folder is
    /// still there.</exception>
    /// <remarks>Failing to remove something after the new folder is in place is not an error; see
    /// <see cref="Leftovers"/>.</remarks>
    public void Publish(bool replace = false, IReadOnlyDictionary<string, string>? hashes = null)
    {
        ObjectDisposedException.ThrowIf(published, this);
        if (!replace && (Directory.Exists(Target) || File.Exists(Target)))
        {
            throw new IOException(
                $"{Target}: already exists and is not replaced. Remove it, or choose another folder."
            );
        }

        FolderManifest.Write(Path, hashes, run);
        Place();
        published = true;
        hold?.Dispose();
        Storage.FlushFolder(Storage.ParentOf(Target));
        Remove(Path); // after an exchange, the replaced folder
        Remove(Beside(Target, OldPrefix));
    }

    /// <summary>Removes the folder unless it was published. If that fails,
    /// <see cref="RemoveStale(string, Action{string})"/> does it later.</summary>
    public void Dispose()
    {
        hold?.Dispose();
        if (!published)
        {
            // The caller disposes it early because of another error, which must not be hidden.
            Remove(Path);
        }
    }

    private void Place()
    {
        if (!Directory.Exists(Target))
        {
            Disk.MoveFolder(Path, Target);
        }
        else if (!Disk.TryExchange(Path, Target))
        {
            PlaceInTwoSteps();
        }
    }

    // If two folders cannot be swapped in one step, the old one is kept under another name in between.
    private void PlaceInTwoSteps()
    {
        var old = Beside(Target, OldPrefix);
        leftovers.AddRange(Clear(old));
        Disk.MoveFolder(Target, old);
        try
        {
            Disk.MoveFolder(Path, Target);
        }
        catch (Exception error) when (IsOfDisk(error))
        {
            try
            {
                Disk.MoveFolder(old, Target);
            }
            catch (Exception second) when (IsOfDisk(second))
            {
                // The next Create or RemoveStale restores it.
            }

            throw;
        }
    }

    private void Remove(string folder)
    {
        try
        {
            leftovers.AddRange(Clear(folder));
        }
        catch (Exception error) when (IsOfDisk(error))
        {
            leftovers.Add($"{folder}: cannot be removed: {error.Message}");
        }
    }

    /// <summary>Frees a name. A folder that cannot be removed (for example because files are open on a network file
    /// system) can often still be renamed.</summary>
    /// <returns>What remains under another name, and why.</returns>
    private static IEnumerable<string> Clear(string folder)
    {
        try
        {
            Disk.DeleteFolder(folder);
            return [];
        }
        catch (Exception error) when (IsOfDisk(error))
        {
            var left = Enumerable
                .Range(1, int.MaxValue)
                .Select(i => Beside(folder, $"{LeftPrefix}{i}-"))
                .First(path => !Directory.Exists(path) && !File.Exists(path));
            Disk.MoveFolder(folder, left);
            return [$"{left}: cannot be removed: {error.Message}"];
        }
    }

    /// <summary>Restores a folder that was moved away for a new one that never arrived.</summary>
    private static void RestoreOld(string old)
    {
        var target = System.IO.Path.Combine(Storage.ParentOf(old), System.IO.Path.GetFileName(old)[OldPrefix.Length..]);
        if (Directory.Exists(old) && !Directory.Exists(target))
        {
            Disk.MoveFolder(old, target);
        }
    }

    // Whether a living process, perhaps this one, is building the folder.
    private static bool IsHeld(string folder)
    {
        if (!Directory.Exists(folder))
        {
            return false;
        }

        var (result, handle) = OsLock.OfFolder(folder);
        handle?.Dispose();
        return result == OsLockResult.HeldByAnother;
    }

    private static bool IsOfDisk(Exception error) => error is IOException or UnauthorizedAccessException;

    private static string Beside(string target, string prefix) =>
        System.IO.Path.Combine(
            Storage.ParentOf(target),
            prefix + System.IO.Path.GetFileName(System.IO.Path.TrimEndingDirectorySeparator(target))
        );

    private static List<string> Inside(string parent, string prefix) =>
        Directory.Exists(parent) ? [.. Disk.Folders(parent, prefix + "*")] : [];
}
