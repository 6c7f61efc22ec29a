namespace GlmTune.Files;

/// <summary>The steps by which folders get and lose their names; tests let one fail, or end the program between any
/// two.</summary>
internal class DirectoryOperations
{
    /// <summary>Those of the operating system.</summary>
    public static DirectoryOperations OfSystem { get; } = new();

    /// <summary>Renames a folder, in one step.</summary>
    public virtual void Move(string from, string to) => Directory.Move(from, to);

    /// <summary>Swaps two folders in one step; false where the system cannot.</summary>
    public virtual bool TryExchange(string first, string second) => Storage.TryExchange(first, second);

    /// <summary>Removes a folder and what is in it, if it is there; not in one step.</summary>
    public virtual void Delete(string folder)
    {
        if (Directory.Exists(folder))
        {
            Directory.Delete(folder, recursive: true);
        }
    }
}
