namespace GlmTune.Weights;

/// <summary>Builds a folder so that it is there whole and checkable, or not at all, whenever the process ends.</summary>
/// <remarks>
/// Files are made in a folder beside the target. <see cref="Publish"/> flushes them to the disk, writes a
/// <see cref="FolderManifest"/> of their sizes and hashes last, and renames the folder. Several processes may fill one:
/// each writes to <see cref="TemporaryPath"/>, and one of them creates and publishes it.
/// </remarks>
public sealed class AtomicFolder : IDisposable
{
    private const string Prefix = "tmp-glmtune-";
    private const string OldPrefix = "tmp-glmtune.old-";
    private bool published;

    private AtomicFolder(string target)
    {
        Target = target;
        Path = TemporaryPath(target);
    }

    /// <summary>Where the folder will be.</summary>
    public string Target { get; }

    /// <summary>Where its files are made.</summary>
    public string Path { get; }

    /// <summary>Starts a folder; what an interrupted attempt at the same target left is removed.</summary>
    /// <param name="target">Where the folder will be; its parent is made if need be.</param>
    public static AtomicFolder Create(string target)
    {
        var folder = new AtomicFolder(System.IO.Path.TrimEndingDirectorySeparator(System.IO.Path.GetFullPath(target)));
        RestoreOld(Beside(folder.Target, OldPrefix));
        DeleteIfThere(folder.Path);
        Directory.CreateDirectory(folder.Path);
        return folder;
    }

    /// <summary>The folder in which a target is built: beside it, named <c>tmp-glmtune-</c> and the target's name.</summary>
    public static string TemporaryPath(string target) => Beside(target, Prefix);

    /// <summary>Folders that interrupted attempts left in <paramref name="parent"/>; empty where it does not exist.</summary>
    public static IReadOnlyList<string> FindStale(string parent) => [.. Inside(parent, Prefix), .. Inside(parent, OldPrefix)];

    /// <summary>
    /// Removes what interrupted attempts left in <paramref name="parent"/>, after putting back a folder that was being replaced;
    /// to be called while nothing is being built there.
    /// </summary>
    /// <returns>The folders removed.</returns>
    public static IReadOnlyList<string> RemoveStale(string parent)
    {
        foreach (var old in Inside(parent, OldPrefix))
        {
            RestoreOld(old);
        }

        var stale = FindStale(parent);
        foreach (var folder in stale)
        {
            Directory.Delete(folder, recursive: true);
        }

        return stale;
    }

    /// <summary>Removes a folder so that no part of it is ever taken for the whole: it is renamed first, as what <see cref="RemoveStale"/> finds.</summary>
    /// <returns>Why not all of it could be removed; null: it is gone.</returns>
    public static string? Discard(string folder)
    {
        try
        {
            var stale = TemporaryPath(folder);
            DeleteIfThere(stale);
            Directory.Move(folder, stale);
            Directory.Delete(stale, recursive: true);
            return null;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return error.Message;
        }
    }

    /// <summary>Flushes all files, writes the manifest, and renames the folder to its target.</summary>
    /// <param name="replace">Whether a folder that is there already is replaced; it is removed after the new one is in place.</param>
    /// <param name="hashes">As <see cref="FolderManifest.Write"/> takes them.</param>
    /// <exception cref="IOException">The target is there and not to be replaced, or the disk fails.</exception>
    public void Publish(bool replace = false, IReadOnlyDictionary<string, string>? hashes = null)
    {
        ObjectDisposedException.ThrowIf(published, this);
        if (!replace && (Directory.Exists(Target) || File.Exists(Target)))
        {
            throw new IOException($"{Target}: is there already and is not replaced. Remove it, or choose another place.");
        }

        FolderManifest.Write(Path, hashes);
        Place();
        published = true;
        Storage.FlushFolder(Storage.ParentOf(Target));
        DeleteIfThere(Path); // after an exchange it is the folder replaced
        DeleteIfThere(Beside(Target, OldPrefix));
    }

    /// <summary>Removes the folder unless it was published.</summary>
    public void Dispose()
    {
        if (!published)
        {
            DeleteIfThere(Path);
        }
    }

    private void Place()
    {
        if (Directory.Exists(Target) && !Storage.TryExchange(Path, Target))
        {
            // Two steps where one cannot be had; the old folder is kept aside between them.
            var old = Beside(Target, OldPrefix);
            DeleteIfThere(old);
            Directory.Move(Target, old);
            Directory.Move(Path, Target);
        }
        else if (!Directory.Exists(Target))
        {
            Directory.Move(Path, Target);
        }
    }

    /// <summary>Puts back a folder that was moved away for a new one which never came.</summary>
    private static void RestoreOld(string old)
    {
        var target = System.IO.Path.Combine(Storage.ParentOf(old), System.IO.Path.GetFileName(old)[OldPrefix.Length..]);
        if (Directory.Exists(old) && !Directory.Exists(target))
        {
            Directory.Move(old, target);
        }
    }

    private static string Beside(string target, string prefix) =>
        System.IO.Path.Combine(Storage.ParentOf(target), prefix + System.IO.Path.GetFileName(System.IO.Path.TrimEndingDirectorySeparator(target)));

    private static List<string> Inside(string parent, string prefix) =>
        Directory.Exists(parent) ? [.. Directory.EnumerateDirectories(parent, prefix + "*").Order(StringComparer.Ordinal)] : [];

    private static void DeleteIfThere(string folder)
    {
        if (Directory.Exists(folder))
        {
            Directory.Delete(folder, recursive: true);
        }
    }
}
