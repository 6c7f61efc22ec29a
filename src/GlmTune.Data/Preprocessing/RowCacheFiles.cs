using GlmTune.Files;

namespace GlmTune.Data.Preprocessing;

/// <summary>The files in the folder of a <see cref="RowCache"/>: which are kept, and which are leftovers.</summary>
internal static class RowCacheFiles
{
    // A file that is being written changes all the time.
    private static readonly TimeSpan LeftoverAfter = TimeSpan.FromHours(12);

    /// <summary>Marks a file as used just now. If that fails, it may be deleted earlier than others.</summary>
    public static void Touch(string file)
    {
        try
        {
            File.SetLastWriteTimeUtc(file, DateTime.UtcNow);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            // The folder may be read-only.
        }
    }

    /// <summary>Deletes leftovers of killed processes, and files beyond a total size, the least recently used
    /// first.</summary>
    /// <param name="folder">The folder.</param>
    /// <param name="newest">A file that stays.</param>
    /// <param name="maxBytes">The total size in bytes.</param>
    public static void Trim(string folder, string newest, long maxBytes)
    {
        try
        {
            foreach (var file in Disk.Files(folder).Where(IsLeftover))
            {
                Disk.TryDeleteFile(file);
            }

            var room = maxBytes - new FileInfo(newest).Length;
            var files = Disk.Files(folder, "*.rows").Where(file => file != newest).Select(file => new FileInfo(file));
            foreach (var file in files.OrderByDescending(file => file.LastWriteTimeUtc).ThenBy(file => file.Name))
            {
                room -= file.Exists ? file.Length : 0;
                if (room < 0)
                {
                    Disk.TryDeleteFile(file.FullName);
                }
            }
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            // Another process trims the folder at the same time, or the next run does it.
        }
    }

    /// <summary>Bytes of the unfinished files of some rows.</summary>
    public static long BytesBeingWritten(string folder, string key)
    {
        try
        {
            return Disk.Files(folder, $".{key}.rows.*.tmp").Sum(file => new FileInfo(file).Length);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return 0;
        }
    }

    private static bool IsLeftover(string file) =>
        Path.GetExtension(file) is ".tmp" or ".lock"
        && new FileInfo(file) is { Exists: true } info
        && DateTime.UtcNow - info.LastWriteTimeUtc > LeftoverAfter;
}
