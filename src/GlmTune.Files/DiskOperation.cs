namespace GlmTune.Files;

/// <summary>A kind of operation on files and folders.</summary>
internal enum DiskOperation
{
    /// <summary>Creates one folder.</summary>
    CreateFolder,

    /// <summary>Reads the names in a folder.</summary>
    List,

    /// <summary>Opens a file for reading.</summary>
    Open,

    /// <summary>Opens a file for writing; it may be created, or emptied, by that.</summary>
    Create,

    /// <summary>Reads bytes.</summary>
    Read,

    /// <summary>Writes bytes.</summary>
    Write,

    /// <summary>Changes the length of a file.</summary>
    SetLength,

    /// <summary>Waits until a file's content is on disk.</summary>
    Flush,

    /// <summary>Waits until a folder's names are on disk.</summary>
    FlushFolder,

    /// <summary>Renames a file or a folder.</summary>
    Rename,

    /// <summary>Swaps two folders.</summary>
    Exchange,

    /// <summary>Deletes a file.</summary>
    Delete,

    /// <summary>Deletes an empty folder.</summary>
    DeleteFolder,

    /// <summary>Takes a lock of the operating system.</summary>
    Lock,
}

/// <summary>One operation on a file or folder.</summary>
/// <param name="Operation">What is done.</param>
/// <param name="Path">The file or folder.</param>
/// <param name="Target">The second path of a rename or exchange.</param>
/// <param name="Bytes">Number of bytes to read or write.</param>
internal readonly record struct DiskCall(DiskOperation Operation, string Path, string? Target = null, int Bytes = 0);

/// <summary>Stands between the program and the disk. Tests use it to count operations, to let one fail, and to lose
/// what was not flushed; the product has none.</summary>
internal abstract class DiskWatcher
{
    /// <summary>Carries out an operation, or throws what the system would throw. May be called by several
    /// threads.</summary>
    /// <param name="call">The operation.</param>
    /// <param name="run">Carries it out. Its argument is the number of bytes to write, of which fewer than asked for
    /// make a write that breaks off; other operations ignore it.</param>
    public abstract void Run(DiskCall call, Action<int> run);
}
