using System.Diagnostics;

namespace GlmTune.Files;

/// <summary>Builds a folder so that it is there whole and checkable, or not at all, whenever the process
/// ends.</summary>
/// <remarks>
/// Files are made in a folder beside the target. <see cref="Publish"/> flushes them to the disk, writes a
/// <see cref="FolderManifest"/> of their sizes and hashes last, and renames the folder. Several processes may fill one:
/// each writes to <see cref="TemporaryPath"/>, and one of them creates and publishes it.
/// </remarks>
public sealed class AtomicFolder : IDisposable
{
    private const string Prefix = "tmp-glmtune-";
    private const string OldPrefix = "tmp-glmtune.old-";
    private const string LeftPrefix = Prefix + "left-";
    private readonly DirectoryOperations moves;
    private readonly List<string> leftovers = [];
    private bool published;

    private AtomicFolder(string target, DirectoryOperations moves)
    {
        this.moves = moves;
        Target = target;
        Path = TemporaryPath(target);
    }

    /// <summary>Where the folder will be.</summary>
    public string Target { get; }

    /// <summary>Where its files are made.</summary>
    public string Path { get; }

    /// <summary>Folders of earlier attempts, or replaced ones, that could not be removed, and why. They are in nobody's
    /// way; <see cref="RemoveStale(string, Action{string})"/> tries again.</summary>
    public IReadOnlyList<string> Leftovers => leftovers;

    /// <summary>Starts a folder; what an interrupted attempt at the same target left is removed, or at least put out of
    /// the way.</summary>
    /// <param name="target">Where the folder will be; its parent is made if need be.</param>
    /// <exception cref="IOException">The folder cannot be made.</exception>
    public static AtomicFolder Create(string target) => Create(target, DirectoryOperations.OfSystem);

    internal static AtomicFolder Create(string target, DirectoryOperations moves)
    {
        var folder = new AtomicFolder(
            System.IO.Path.TrimEndingDirectorySeparator(System.IO.Path.GetFullPath(target)),
            moves
        );
        RestoreOld(Beside(folder.Target, OldPrefix), moves);
        folder.leftovers.AddRange(Clear(folder.Path, moves));
        Directory.CreateDirectory(folder.Path);
        return folder;
    }

    /// <summary>The folder in which a target is built: beside it, named <c>tmp-glmtune-</c> and the target's
    /// name.</summary>
    public static string TemporaryPath(string target) => Beside(target, Prefix);

    /// <summary>Waits until a folder that another process made is seen here: a network's file system may show it a
    /// little later.</summary>
    /// <param name="folder">The folder.</param>
    /// <param name="patience">How long, at most.</param>
    /// <returns>Whether it is there.</returns>
    public static bool WaitFor(string folder, TimeSpan patience)
    {
        // Listing its parent is what makes such a file system ask again.
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

    /// <summary>Folders that interrupted attempts left in <paramref name="parent"/>; empty where it does not
    /// exist.</summary>
    public static IReadOnlyList<string> FindStale(string parent) =>
        [.. Inside(parent, Prefix), .. Inside(parent, OldPrefix)];

    /// <summary>
    /// Removes what interrupted attempts left in <paramref name="parent"/>, after putting back a folder that was being
    /// replaced; to be called while nothing is being built there. </summary>
    /// <param name="parent">The folder to tidy.</param>
    /// <param name="note">Gets what could not be put back or removed, and why; it stays, and the rest is done all the
    /// same.</param>
    /// <returns>The folders removed.</returns>
    public static IReadOnlyList<string> RemoveStale(string parent, Action<string>? note = null) =>
        RemoveStale(parent, note, DirectoryOperations.OfSystem);

    internal static IReadOnlyList<string> RemoveStale(string parent, Action<string>? note, DirectoryOperations moves)
    {
        // Where a folder's only copy cannot be put back, it must not be removed either.
        List<string> stale =
        [
            .. Inside(parent, OldPrefix).Where(old => Try(old, "cannot be restored", () => RestoreOld(old, moves))),
            .. Inside(parent, Prefix),
        ];
        return
        [
            .. stale
                .Where(Directory.Exists)
                .Where(folder => Try(folder, "cannot be removed", () => moves.Delete(folder))),
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

    /// <summary>Removes a folder so that no part of it is ever taken for the whole: it is renamed first, as what
    /// <see cref="RemoveStale(string, Action{string})"/> finds.</summary>
    /// <returns>Why not all of it could be removed; null: it is gone.</returns>
    public static string? Discard(string folder) => Discard(folder, DirectoryOperations.OfSystem);

    internal static string? Discard(string folder, DirectoryOperations moves)
    {
        try
        {
            var stale = TemporaryPath(folder);
            Clear(stale, moves);
            moves.Move(folder, stale);
            moves.Delete(stale);
            return null;
        }
        catch (Exception error) when (IsOfDisk(error))
        {
            return error.Message;
        }
    }

    /// <summary>Flushes all files, writes the manifest, and renames the folder to its target.</summary>
    /// <param name="replace">Whether an existing folder is replaced; it is removed after the new one is in
    /// place.</param>
    /// <param name="hashes">As <see cref="FolderManifest.Write"/> takes them.</param>
    /// <exception cref="IOException">The target is there and not to be replaced, or the disk fails; a folder that was
    /// there is there still.</exception>
    /// <remarks>What cannot be removed once the new folder is in place is no error: see
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

        FolderManifest.Write(Path, hashes);
        Place();
        published = true;
        Storage.FlushFolder(Storage.ParentOf(Target));
        Remove(Path); // after an exchange it is the folder replaced
        Remove(Beside(Target, OldPrefix));
    }

    /// <summary>Removes the folder unless it was published; where it cannot,
    /// <see cref="RemoveStale(string, Action{string})"/> does so later.</summary>
    public void Dispose()
    {
        if (!published)
        {
            // Whoever disposes it early has a reason, which this must not hide.
            Remove(Path);
        }
    }

    private void Place()
    {
        if (!Directory.Exists(Target))
        {
            moves.Move(Path, Target);
        }
        else if (!moves.TryExchange(Path, Target))
        {
            PlaceInTwoSteps();
        }
    }

    // Where two folders cannot change places at once, the old one is kept aside between the steps.
    private void PlaceInTwoSteps()
    {
        var old = Beside(Target, OldPrefix);
        leftovers.AddRange(Clear(old, moves));
        moves.Move(Target, old);
        try
        {
            moves.Move(Path, Target);
        }
        catch (Exception error) when (IsOfDisk(error))
        {
            try
            {
                moves.Move(old, Target);
            }
            catch (Exception second) when (IsOfDisk(second))
            {
                // The next Create or RemoveStale puts it back.
            }

            throw;
        }
    }

    private void Remove(string folder)
    {
        try
        {
            leftovers.AddRange(Clear(folder, moves));
        }
        catch (Exception error) when (IsOfDisk(error))
        {
            leftovers.Add($"{folder}: cannot be removed: {error.Message}");
        }
    }

    /// <summary>Frees a name. A folder that cannot be removed (files that are still open on a network's file system,
    /// say) can often be renamed.</summary>
    /// <returns>What is left under another name, and why.</returns>
    private static IEnumerable<string> Clear(string folder, DirectoryOperations moves)
    {
        try
        {
            moves.Delete(folder);
            return [];
        }
        catch (Exception error) when (IsOfDisk(error))
        {
            var left = Enumerable
                .Range(1, int.MaxValue)
                .Select(i => Beside(folder, $"{LeftPrefix}{i}-"))
                .First(path => !Directory.Exists(path) && !File.Exists(path));
            moves.Move(folder, left);
            return [$"{left}: cannot be removed: {error.Message}"];
        }
    }

    /// <summary>Puts back a folder that was moved away for a new one which never came.</summary>
    private static void RestoreOld(string old, DirectoryOperations moves)
    {
        var target = System.IO.Path.Combine(Storage.ParentOf(old), System.IO.Path.GetFileName(old)[OldPrefix.Length..]);
        if (Directory.Exists(old) && !Directory.Exists(target))
        {
            moves.Move(old, target);
        }
    }

    private static bool IsOfDisk(Exception error) => error is IOException or UnauthorizedAccessException;

    private static string Beside(string target, string prefix) =>
        System.IO.Path.Combine(
            Storage.ParentOf(target),
            prefix + System.IO.Path.GetFileName(System.IO.Path.TrimEndingDirectorySeparator(target))
        );

    private static List<string> Inside(string parent, string prefix) =>
        Directory.Exists(parent)
            ? [.. Directory.EnumerateDirectories(parent, prefix + "*").Order(StringComparer.Ordinal)]
            : [];
}
