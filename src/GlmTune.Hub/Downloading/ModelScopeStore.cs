using System.Globalization;
using GlmTune.Files;
using GlmTune.Hub.Caches;

namespace GlmTune.Hub.Downloading;

/// <summary>A model in ModelScope's cache.</summary>
/// <param name="cache">The cache.</param>
/// <param name="name">The model, with the revision that was asked for.</param>
internal sealed class ModelScopeStore(ModelScopeCache cache, HubName name) : ModelStore
{
    private readonly string folder = cache.FolderFor(name);
    private readonly string staging = Path.Combine(
        cache.Folders[0],
        "models",
        ".glmtune",
        name.Owner,
        ModelScopeCache.FolderName(name.Name)
    );

    /// <inheritdoc/>
    public override string Root => Storage.ParentOf(folder);

    /// <inheritdoc/>
    public override void Prepare()
    {
        Disk.CreateFolder(staging);
        Disk.CreateFolder(Root);
    }

    /// <inheritdoc/>
    public override bool Has(HubFile file) => HasSize(PathOf(file), file) || IsPublished(file);

    /// <inheritdoc/>
    public override string PathOf(HubFile file) => Path.Combine(staging, file.Hash!.Hex);

    /// <inheritdoc/>
    public override string LockOf(HubFile file) => PathOf(file) + ".lock";

    /// <inheritdoc/>
    public override string Readable(HubFile file) =>
        File.Exists(PathOf(file)) ? PathOf(file) : Path.Combine(folder, file.Name);

    /// <inheritdoc/>
    public override string Publish(IReadOnlyList<HubFile> files)
    {
        var target = Directory.Exists(folder) ? folder : Path.Combine(staging, "new");
        Disk.CreateFolder(target);
        // The configuration comes last: without it, the folder is not taken for a model.
        foreach (var file in files.OrderBy(file => file.Name is "config.json" or "adapter_config.json"))
        {
            if (!File.Exists(PathOf(file)))
            {
                continue;
            }

            var path = Path.Combine(target, file.Name);
            if (files.Count(other => other.Hash == file.Hash) > 1)
            {
                AtomicFile.Copy(PathOf(file), path); // another name has the same content
            }
            else
            {
                Disk.MoveFile(PathOf(file), path);
            }
        }

        AtomicFile.WriteText(
            Path.Combine(target, ModelScopeCache.VersionFile),
            string.Create(
                CultureInfo.InvariantCulture,
                $"Revision:{name.Revision ?? ModelScopeCache.MainRevision},"
                    + $"CreatedAt:{DateTimeOffset.UtcNow.ToUnixTimeSeconds()}"
            )
        );
        AtomicFile.WriteJson(
            Path.Combine(target, ModelScopeCache.ListFile),
            files.Select(file => new
            {
                name = file.Name,
                size = file.Size,
                sha256 = file.Hash!.Hex,
            })
        );
        if (target != folder)
        {
            Disk.MoveFolder(target, folder);
        }

        Storage.FlushFolder(Root);
        return folder;
    }

    // Only the hash tells whether it is the file of this revision.
    private bool IsPublished(HubFile file)
    {
        var path = Path.Combine(folder, file.Name);
        return HasSize(path, file) && file.Hash!.Matches(path);
    }
}
