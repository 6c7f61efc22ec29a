using GlmTune.Files;
using GlmTune.Hub.Caches;

namespace GlmTune.Hub.Downloading;

/// <summary>A model in the cache of the Hugging Face Hub, in the form in which its Python tools keep it.</summary>
/// <param name="cache">The cache folder.</param>
/// <param name="name">The model, with the revision that was asked for.</param>
/// <param name="commit">The commit of that revision.</param>
internal class HubStore(string cache, HubName name, string commit) : ModelStore
{
    private readonly string repository = Path.Combine(cache, HubCache.FolderName(name.Id));

    /// <inheritdoc/>
    public override string Root => repository;

    /// <inheritdoc/>
    public override void Prepare()
    {
        Disk.CreateFolder(Path.Combine(repository, "blobs"));
        Disk.CreateFolder(Path.Combine(repository, "snapshots"));
        Disk.CreateFolder(Path.Combine(cache, HubCache.LocksFolder, HubCache.FolderName(name.Id)));
    }

    /// <inheritdoc/>
    public override bool Has(HubFile file) => HasSize(PathOf(file), file) || HasSize(SnapshotOf(file), file);

    /// <inheritdoc/>
    public override string PathOf(HubFile file) => Path.Combine(repository, "blobs", file.Hash!.Hex);

    /// <inheritdoc/>
    public override string LockOf(HubFile file) =>
        Path.Combine(cache, HubCache.LocksFolder, HubCache.FolderName(name.Id), $"{file.Hash!.Hex}.lock");

    /// <inheritdoc/>
    public override string Readable(HubFile file) => File.Exists(PathOf(file)) ? PathOf(file) : SnapshotOf(file);

    /// <inheritdoc/>
    public override string Publish(IReadOnlyList<HubFile> files)
    {
        var snapshot = Path.Combine(repository, "snapshots", commit);
        if (!Directory.Exists(snapshot))
        {
            // At the same depth, so that the links can be made before the folder has its name.
            var aside = Path.Combine(repository, $".new-{Guid.NewGuid():N}", commit);
            Disk.CreateFolder(aside);
            try
            {
                foreach (var file in files)
                {
                    Link(Path.Combine(aside, file.Name), file);
                }

                Disk.MoveFolder(aside, snapshot);
            }
            catch (IOException) when (Directory.Exists(snapshot))
            {
                // Another download of the same model was faster.
            }
            finally
            {
                Disk.DeleteFolder(Storage.ParentOf(aside));
            }
        }

        foreach (var file in files.Where(file => !HasSize(Path.Combine(snapshot, file.Name), file)))
        {
            var link = Path.Combine(snapshot, file.Name);
            var aside = $"{link}.{Guid.NewGuid():N}.tmp";
            Link(aside, file);
            Disk.MoveFile(aside, link);
        }

        Storage.FlushFolder(snapshot);
        if (name.Revision != commit)
        {
            AtomicFile.WriteText(Path.Combine(repository, "refs", name.Revision ?? HubCache.MainRevision), commit);
        }

        return snapshot;
    }

    private string SnapshotOf(HubFile file) => Path.Combine(repository, "snapshots", commit, file.Name);

    // Windows allows links to some users only; the Python tools move the file there, too.
    private void Link(string link, HubFile file)
    {
        try
        {
            File.CreateSymbolicLink(link, Path.Combine("..", "..", "blobs", file.Hash!.Hex));
        }
        catch (Exception error)
            when (OperatingSystem.IsWindows() && error is IOException or UnauthorizedAccessException)
        {
            AtomicFile.Copy(PathOf(file), link);
        }
    }
}
