using GlmTune.Files;

namespace GlmTune.Hub.Downloading;

/// <summary>Where the files of one model are collected, and how they become visible at once in a cache.</summary>
internal abstract class ModelStore
{
    /// <summary>Makes the folders that files are collected in.</summary>
    /// <exception cref="IOException">They cannot be written.</exception>
    public abstract void Prepare();

    /// <summary>A folder that can be written to if the store can; it is checked for free space.</summary>
    public abstract string Root { get; }

    /// <summary>Whether a file with this size and hash is here already.</summary>
    public abstract bool Has(HubFile file);

    /// <summary>Where the complete content of a file is put.</summary>
    public abstract string PathOf(HubFile file);

    /// <summary>Where the content of a file is collected.</summary>
    public virtual string PartOf(HubFile file) => PathOf(file) + ".incomplete";

    /// <summary>The lock that downloads of this content take.</summary>
    public abstract string LockOf(HubFile file);

    /// <summary>Where the content of a file can be read once <see cref="Has"/> is true.</summary>
    public abstract string Readable(HubFile file);

    /// <summary>Makes the model visible, all files at once if it was not here before.</summary>
    /// <returns>The model folder.</returns>
    public abstract string Publish(IReadOnlyList<HubFile> files);

    /// <summary>Opens the file in which content is collected, with what an earlier download left.</summary>
    /// <exception cref="IOException">It cannot be written.</exception>
    public virtual Stream OpenPart(HubFile file) =>
        new DiskFile(PartOf(file), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.Read);

    /// <summary>Gives collected content its place, once it is on disk.</summary>
    /// <exception cref="IOException">It cannot be written.</exception>
    public void Complete(HubFile file)
    {
        Storage.FlushFile(PartOf(file));
        AtomicFile.Publish(PartOf(file), PathOf(file));
    }

    /// <summary>Number of bytes of a file that are still to be downloaded.</summary>
    public long Missing(HubFile file)
    {
        var size = file.Size!.Value;
        return Has(file) ? 0
            : new FileInfo(PartOf(file)) is { Exists: true } part ? size - Math.Min(part.Length, size)
            : size;
    }

    /// <summary>Whether a regular file has the listed size; links are followed.</summary>
    protected static bool HasSize(string path, HubFile file)
    {
        if (!File.Exists(path))
        {
            return false;
        }

        try
        {
            using var stream = RegularFile.OpenStream(path, bufferSize: 0);
            return stream.Length == file.Size;
        }
        catch (FileNotFoundException)
        {
            return false; // a link to content that is gone
        }
    }
}
