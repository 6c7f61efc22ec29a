namespace GlmTune.Files;

/// <summary>The folders that a page shows of a folder which others may fill or change meanwhile.</summary>
internal static class VisibleFolders
{
    /// <summary>The folders in a folder, in any order, without links, hidden ones and those that may not be read; none
    /// if it was removed.</summary>
    /// <param name="folder">The folder.</param>
    /// <param name="most">The largest number of folders to list.</param>
    public static string[] In(string folder, int most = int.MaxValue)
    {
        var options = new EnumerationOptions
        {
            AttributesToSkip = FileAttributes.ReparsePoint | FileAttributes.Hidden,
            IgnoreInaccessible = true,
        };
        try
        {
            return Directory.Exists(folder) ? [.. Directory.EnumerateDirectories(folder, "*", options).Take(most)] : [];
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return []; // removed meanwhile
        }
    }
}
