using System.Globalization;

namespace GlmTune.Files;

/// <summary>Finds out whether files can be written to a place before hours are spent on what they will hold. Nothing is
/// left there.</summary>
public static class WriteProbe
{
    /// <summary>What stands in the way of writing to a folder, which is made if it is missing.</summary>
    /// <param name="folder">The folder.</param>
    /// <param name="bytes">About how much will be written; 0: unknown.</param>
    /// <returns>The problem as a sentence that begins with the folder; null: there is none.</returns>
    public static string? FindProblem(string folder, long bytes = 0)
    {
        var full = Path.GetFullPath(folder);
        List<string> made = [];
        try
        {
            for (var path = full; path is not null && !Directory.Exists(path); path = Path.GetDirectoryName(path))
            {
                if (File.Exists(path))
                {
                    return path == full
                        ? $"{folder}: cannot be written: it is a file; expected a folder, or a name that is free."
                        : $"{folder}: cannot be written: {path} is a file; expected a folder.";
                }

                made.Add(path);
            }

            Directory.CreateDirectory(full);
            var probe = Path.Combine(full, $".glmtune-{Guid.NewGuid():N}.tmp");
            try
            {
                File.WriteAllText(probe, "probe");
            }
            finally
            {
                File.Delete(probe);
            }

            return FindLackOfSpace(folder, full, bytes);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            var reason =
                error is DirectoryNotFoundException ? "no folder can be made there" : error.Message.TrimEnd('.');
            return $"{folder}: cannot be written: {reason}. Name another folder, or change who may write there.";
        }
        finally
        {
            made.ForEach(Remove);
        }
    }

    /// <summary>What stands in the way of writing a file.</summary>
    /// <param name="file">The file; its folder is made if it is missing.</param>
    /// <returns>The problem as a sentence that begins with the file or its folder; null: there is none.</returns>
    public static string? FindProblemOfFile(string file)
    {
        if (Directory.Exists(file))
        {
            return $"{file}: cannot be written: it is a folder; expected the name of a file.";
        }

        return FindProblem(Path.GetDirectoryName(Path.GetFullPath(file)) ?? file);
    }

    /// <summary>A size for people, such as <c>1.5 GB</c>.</summary>
    public static string Size(double bytes) =>
        bytes >= 1e9
            ? string.Create(CultureInfo.InvariantCulture, $"{bytes / 1e9:0.#} GB")
            : string.Create(CultureInfo.InvariantCulture, $"{Math.Max(bytes / 1e6, 0.1):0.#} MB");

    private static string? FindLackOfSpace(string folder, string full, long bytes)
    {
        try
        {
            var free = bytes > 0 ? new DriveInfo(full).AvailableFreeSpace : long.MaxValue;
            return free >= bytes
                ? null
                : $"{folder}: about {Size(bytes)} will be written, and its disk has {Size(free)} free. Free some space, or "
                    + "name a folder on another disk.";
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or ArgumentException)
        {
            return null; // a file system that does not say
        }
    }

    // Deepest first, and only while nobody has put anything there.
    private static void Remove(string folder)
    {
        try
        {
            Directory.Delete(folder);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            // In use meanwhile, or never made.
        }
    }
}
