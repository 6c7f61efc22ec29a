namespace GlmTune.Files;

/// <summary>The operations that rename and remove folders. Tests override them to fail, or to end the program between
/// two steps.</summary>
internal class DirectoryOperations
{
    /// <summary>The operating system's.</summary>
    public static DirectoryOperations OfSystem { get; } = new();

    /// <summary>Renames a folder, in one step.</summary>
    public virtual void Move(string from, string to) => Directory.Move(from, to);

    /// <summary>Swaps two folders in one step; false if the system does not support it.</summary>
    public virtual bool TryExchange(string first, string second) => Storage.TryExchange(first, second);

    /// <summary>Marks a folder as in use by this process until the result is disposed or the process ends.</summary>
    /// <returns>Null if the file system has no such locks.</returns>
    public virtual IDisposable? Hold(string folder) => OsLock.OfFolder(folder).Handle;

    /// <summary>Whether a living process, perhaps this one, has marked a folder as in use.</summary>
    public virtual bool IsHeld(string folder)
    {
        if (!Directory.Exists(folder))
        {
            return false;
        }

        var (result, handle) = OsLock.OfFolder(folder);
        handle?.Dispose();
        return result == OsLockResult.HeldByAnother;
    }

    /// <summary>Removes a folder and its contents, if it exists; not in one step.</summary>
    public virtual void Delete(string folder)
    {
        if (Directory.Exists(folder))
        {
            Directory.Delete(folder, recursive: true);
        }
    }
}
