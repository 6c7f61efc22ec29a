namespace GlmTune.Files;

/// <summary>Paths without symbolic links.</summary>
internal static class RealPath
{
    private const int MaxLinks = 40;

    /// <summary>The path that a path leads to when all its links are followed; what does not exist stays as it
    /// is.</summary>
    /// <exception cref="IOException">The links lead to each other.</exception>
    public static string Of(string path) => Follow(Path.GetFullPath(path), MaxLinks);

    /// <summary>Whether a path is a folder, or something in it, when links are followed.</summary>
    public static bool IsWithin(string path, string folder)
    {
        var (inner, outer) = (Of(path), Path.TrimEndingDirectorySeparator(Of(folder)));
        return inner == outer
            || inner.StartsWith(
                Path.EndsInDirectorySeparator(outer) ? outer : outer + Path.DirectorySeparatorChar,
                StringComparison.Ordinal
            );
    }

    private static string Follow(string path, int left)
    {
        var at = Path.GetPathRoot(path)!;
        var parts = path[at.Length..].Split(Path.DirectorySeparatorChar, StringSplitOptions.RemoveEmptyEntries);
        foreach (var (i, part) in parts.Index())
        {
            at = Path.Combine(at, part);
            if (new FileInfo(at).LinkTarget is not { } target)
            {
                continue;
            }

            if (left == 0)
            {
                throw new IOException($"{path}: leads through more than {MaxLinks} links.");
            }

            var folder = Path.GetDirectoryName(at)!;
            return Follow(
                Path.GetFullPath(Path.Combine([Path.Combine(folder, target), .. parts[(i + 1)..]])),
                left - 1
            );
        }

        return Path.TrimEndingDirectorySeparator(at);
    }
}
