using System.Globalization;

namespace GlmTune.Files;

/// <summary>Checks whether a location can be written before hours of work depend on it. It leaves nothing
/// behind, and if it is killed, only a hidden temporary name.</summary>
internal static class WriteProbe
{
    /// <summary>Finds what prevents writing to a folder. A folder that is missing is not created: a folder with the
    /// same names is, beside it under a temporary name.</summary>
    /// <param name="folder">The folder.</param>
    /// <param name="bytes">Approximate number of bytes to be written; 0: unknown.</param>
    /// <returns>The problem as a sentence that starts with the folder; null if there is none.</returns>
    public static string? FindProblem(string folder, long bytes = 0)
    {
        if (string.IsNullOrWhiteSpace(folder))
        {
            return "The name of the output is empty; expected a path.";
        }

        var full = Path.GetFullPath(folder);
        var existing = full;
        while (!Directory.Exists(existing))
        {
            if (File.Exists(existing))
            {
                return existing == full
                    ? $"{folder}: cannot be written: it is a file; expected a folder, or a name that does "
                        + "not exist yet."
                    : $"{folder}: cannot be written: {existing} is a file; expected a folder.";
            }

            existing = Path.GetDirectoryName(existing) ?? Path.GetPathRoot(full)!;
        }

        var probe = Path.Combine(existing, $".glmtune-{Guid.NewGuid():N}.tmp");
        try
        {
            var place = existing == full ? probe : Path.Combine(probe, Path.GetRelativePath(existing, full), "probe");
            if (existing != full)
            {
                Disk.CreateFolder(Path.GetDirectoryName(place)!);
            }

            using (var file = new DiskFile(place, FileMode.CreateNew))
            {
                file.Write("probe"u8);
            }

            return FindLackOfSpace(folder, existing, bytes);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            var reason =
                error is DirectoryNotFoundException
                    ? "the folder cannot be created"
                    : error.Message.TrimEnd('.').Replace(probe, existing, StringComparison.Ordinal);
            return $"{folder}: cannot be written: {reason}. Choose another folder, or change its permissions.";
        }
        finally
        {
            Remove(probe);
        }
    }

    /// <summary>Finds what prevents writing a folder that must not exist yet.</summary>
    /// <param name="folder">The folder.</param>
    /// <param name="bytes">Approximate number of bytes to be written; 0: unknown.</param>
    /// <returns>The problem as a sentence that starts with the folder; null if there is none.</returns>
    public static string? FindProblemOfNewFolder(string folder, long bytes = 0) =>
        Directory.Exists(folder) || File.Exists(folder)
            ? $"{folder}: already exists; a model is only written to a new folder."
            : FindProblem(folder, bytes);

    /// <summary>Finds what prevents writing a file.</summary>
    /// <param name="file">The file; its folder is created if it is missing.</param>
    /// <param name="bytes">Approximate number of bytes to be written; 0: unknown.</param>
    /// <param name="inPlace">Whether an existing file is written to instead of being replaced.</param>
    /// <returns>The problem as a sentence that starts with the file or its folder; null if there is none.</returns>
    public static string? FindProblemOfFile(string file, long bytes = 0, bool inPlace = false)
    {
        if (string.IsNullOrWhiteSpace(file))
        {
            return FindProblem(file);
        }

        if (Directory.Exists(file) || Path.EndsInDirectorySeparator(file))
        {
            return $"{file}: cannot be written: it is a folder; expected the name of a file.";
        }

        try
        {
            if (inPlace && File.Exists(file))
            {
                using var open = new DiskFile(file, FileMode.Open, FileAccess.ReadWrite, FileShare.Read);
            }
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return $"{file}: cannot be written: {error.Message.TrimEnd('.')}. Choose another file, or change its "
                + "permissions.";
        }

        return FindProblem(Path.GetDirectoryName(Path.GetFullPath(file)) ?? file, bytes);
    }

    /// <summary>A size for display, such as <c>1.5 GB</c>.</summary>
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
                : $"{folder}: about {Size(bytes)} will be written, but only {Size(free)} are free on that disk. "
                    + "Free some space, or choose a folder on another disk.";
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or ArgumentException)
        {
            return null; // the file system does not say
        }
    }

    private static void Remove(string probe)
    {
        try
        {
            Disk.DeleteFile(probe);
            Disk.DeleteFolder(probe);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            // A hidden file or folder with a temporary name stays.
        }
    }
}
