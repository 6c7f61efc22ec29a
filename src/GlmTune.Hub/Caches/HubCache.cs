using GlmTune.Files;

namespace GlmTune.Hub.Caches;

/// <summary>Models in the cache of the Hugging Face Hub, which its Python tools and <c>glmtune model pull</c> fill:
/// content in <c>blobs</c>, linked from <c>snapshots/COMMIT</c>; <c>refs</c> names the commits of branches and
/// tags.</summary>
/// <param name="Folders">Cache folders in order of preference, with <c>models--OWNER--NAME</c> inside. Downloads go to
/// the first.</param>
internal sealed record HubCache(IReadOnlyList<string> Folders)
{
    /// <summary>The main branch.</summary>
    public const string MainRevision = "main";

    /// <summary>Folder of the locks of downloads, in the cache folder.</summary>
    internal const string LocksFolder = ".locks";

    private const string Prefix = "models--";
    private const int ShortestCommit = 7;

    /// <summary>The folders that the Python tools use: <c>HF_HUB_CACHE</c>, <c>HF_HOME/hub</c>,
    /// <c>XDG_CACHE_HOME/huggingface/hub</c>, <c>~/.cache/huggingface/hub</c>.</summary>
    /// <param name="variable">Returns the value of an environment variable; null: those of this process.</param>
    public static HubCache FromEnvironment(Func<string, string?>? variable = null)
    {
        variable ??= Environment.GetEnvironmentVariable;
        var home = HomePath.HomeOf(variable);
        string? Under(string name, params string[] inside) =>
            variable(name) is { Length: > 0 } folder
                ? Path.Combine([home is null ? folder : HomePath.Expand(folder, home), .. inside])
                : null;

        string?[] folders =
        [
            Under("HF_HUB_CACHE"),
            Under("HUGGINGFACE_HUB_CACHE"),
            Under("HF_HOME", "hub"),
            Under("XDG_CACHE_HOME", "huggingface", "hub"),
            home is null ? null : Path.Combine(home, ".cache", "huggingface", "hub"),
        ];
        return new HubCache([.. folders.OfType<string>().Distinct()]);
    }

    /// <summary>Folder of a model's revision; null if it is not here.</summary>
    /// <param name="name">The name. Without a revision: the main branch, or the only snapshot if the main branch is
    /// unknown.</param>
    public string? Find(HubName name) =>
        Folders
            .Select(folder => Snapshot(Path.Combine(folder, FolderName(name.Id)), name.Revision))
            .OfType<string>()
            .FirstOrDefault();

    /// <summary>All models.</summary>
    public IEnumerable<CachedModel> List() =>
        Folders
            .Where(Directory.Exists)
            .SelectMany(folder => Directory.EnumerateDirectories(folder, $"{Prefix}*--*"))
            .Order(StringComparer.Ordinal)
            .SelectMany(SnapshotsOf);

    /// <summary>Deletes a revision, and the content that no other revision uses.</summary>
    /// <param name="model">One of <see cref="List"/>.</param>
    /// <exception cref="IOException">The model is being downloaded, or a file cannot be deleted.</exception>
    public static void Remove(CachedModel model)
    {
        var snapshots = Storage.ParentOf(model.Folder);
        var repository = Storage.ParentOf(snapshots);
        var locks = Path.Combine(Storage.ParentOf(repository), LocksFolder, Path.GetFileName(repository));
        if (Directory.Exists(locks) && Directory.GetFiles(locks).Any(IsHeld))
        {
            throw new IOException(
                $"{model.Id}: a process is downloading this model. Wait for it, or stop it; nothing was deleted."
            );
        }

        foreach (var reference in model.Revisions)
        {
            Disk.DeleteFile(Path.Combine(repository, "refs", reference));
        }

        Disk.DeleteFolder(model.Folder);
        if (!Directory.EnumerateDirectories(snapshots).Any())
        {
            Disk.DeleteFolder(repository);
            return;
        }

        var used = Directory
            .EnumerateFiles(snapshots, "*", SearchOption.AllDirectories)
            .Select(file => Path.GetFileName(new FileInfo(file).LinkTarget ?? ""))
            .ToHashSet();
        foreach (var blob in Directory.GetFiles(Path.Combine(repository, "blobs")))
        {
            if (!used.Contains(Path.GetFileName(blob)))
            {
                Disk.DeleteFile(blob);
            }
        }
    }

    /// <summary>Name of a model's folder in the cache.</summary>
    public static string FolderName(string id) => $"{Prefix}{id.Replace("/", "--", StringComparison.Ordinal)}";

    private static bool IsHeld(string path)
    {
        var (result, handle) = OsLock.OfFile(path);
        handle?.Dispose();
        return result == OsLockResult.HeldByAnother;
    }

    private static string? Snapshot(string folder, string? revision)
    {
        var snapshots = Path.Combine(folder, "snapshots");
        if (Commit(folder, revision ?? MainRevision) is { } commit)
        {
            return Path.Combine(snapshots, commit);
        }

        if (!Directory.Exists(snapshots))
        {
            return null;
        }

        var candidates = Directory.GetDirectories(snapshots);
        return revision is null
            ? candidates is [var only]
                ? only
                : null
            : revision.Length >= ShortestCommit
            && candidates.Where(path => Path.GetFileName(path).StartsWith(revision, StringComparison.Ordinal)).ToList()
                is [var named]
                ? named
                : null;
    }

    // The commit that a branch or tag stands for, if its snapshot is here.
    private static string? Commit(string folder, string reference)
    {
        var file = Path.Combine(folder, "refs", reference);
        return
            File.Exists(file)
            && RegularFile.ReadText(file).Trim() is { Length: > 0 } commit
            && commit.All(char.IsAsciiLetterOrDigit)
            && Directory.Exists(Path.Combine(folder, "snapshots", commit))
            ? commit
            : null;
    }

    private static IEnumerable<CachedModel> SnapshotsOf(string folder)
    {
        var (snapshots, references) = (Path.Combine(folder, "snapshots"), Path.Combine(folder, "refs"));
        if (!Directory.Exists(snapshots))
        {
            return [];
        }

        var parts = Path.GetFileName(folder)[Prefix.Length..].Split("--", 2);
        var names = (
            Directory.Exists(references) ? Directory.EnumerateFiles(references, "*", SearchOption.AllDirectories) : []
        )
            .Select(path => Path.GetRelativePath(references, path).Replace('\\', '/'))
            .ToLookup(name => Commit(folder, name));
        return Directory
            .EnumerateDirectories(snapshots)
            .Order(StringComparer.Ordinal)
            .Select(path => new CachedModel(ModelSite.HuggingFace, string.Join('/', parts), path)
            {
                Commit = Path.GetFileName(path),
                Revisions = [.. names[Path.GetFileName(path)].Order(StringComparer.Ordinal)],
            });
    }
}
