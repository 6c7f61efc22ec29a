namespace GlmTune.Hub.Caches;

/// <summary>Compares the files of a downloaded model with the hashes that its site listed.</summary>
internal static class CachedContent
{
    /// <summary>Reads and hashes all files.</summary>
    /// <param name="model">The model.</param>
    /// <param name="read">Called with the bytes of each file after it was read; from any thread.</param>
    /// <returns>Problems as sentences without a full stop, and the number of files whose hash is known.</returns>
    public static (IReadOnlyList<string> Problems, int Known) Verify(CachedModel model, Action<long>? read = null)
    {
        var files = ExpectedFiles(model);
        var problems = files
            .AsParallel()
            .AsOrdered()
            .Select(file =>
            {
                var problem = FindProblem(Path.Combine(model.Folder, file.Name), file);
                read?.Invoke(file.Size ?? 0);
                return problem;
            })
            .OfType<string>()
            .ToList();
        return (problems, files.Count);
    }

    // In the Hub's cache, the name of the content that a link leads to is its hash.
    private static IReadOnlyList<HubFile> ExpectedFiles(CachedModel model) =>
        model.Site == ModelSite.ModelScope
            ? ModelScopeCache.ReadList(model.Folder) ?? []
            :
            [
                .. Directory
                    .EnumerateFiles(model.Folder, "*", SearchOption.AllDirectories)
                    .Order(StringComparer.Ordinal)
                    .Select(path => new HubFile(
                        Path.GetRelativePath(model.Folder, path),
                        null,
                        ContentHash.TryParse(Path.GetFileName(new FileInfo(path).LinkTarget))
                    ))
                    .Where(file => file.Hash is not null),
            ];

    private static string? FindProblem(string path, HubFile file)
    {
        try
        {
            return !File.Exists(path) || File.ResolveLinkTarget(path, true) is { Exists: false }
                    ? $"'{file.Name}' is missing"
                : file.Hash?.Matches(path) == false ? $"'{file.Name}' is not what the site listed (its hash differs)"
                : null;
        }
        catch (Exception error) when (error is IOException or InvalidDataException or UnauthorizedAccessException)
        {
            return $"'{file.Name}' cannot be read: {error.Message}";
        }
    }
}
