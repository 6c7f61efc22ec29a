using GlmTune.Recipes.Configuration;

namespace GlmTune.Recipes;

/// <summary>Messages for paths that do not exist: they say which part is missing, what exists, and what was probably
/// meant.</summary>
internal static class NearbyNames
{
    private const int MaxNames = 8;

    /// <summary>The message for a folder that does not exist.</summary>
    /// <param name="path">The path as given.</param>
    /// <param name="expected">What the path should be, such as "a model's folder".</param>
    public static string MissingFolder(string path, string expected) =>
        $"{path}: folder not found; expected {expected}.{Hint(path, Directory.EnumerateDirectories)}";

    /// <summary>The message for a file that does not exist.</summary>
    /// <param name="path">The path as given.</param>
    /// <param name="more">Further information, such as what names the file.</param>
    /// <param name="pattern">Pattern of the files to list, such as <c>*.jsonl</c>.</param>
    public static string MissingFile(string path, string more, string pattern) =>
        $"{path}: file not found; {more}." + Hint(path, folder => Directory.EnumerateFiles(folder, pattern));

    // Starts with a space if there is anything to say.
    private static string Hint(string path, Func<string, IEnumerable<string>> list)
    {
        // The first missing part of the path, and the folder in which it was expected.
        var missing = Path.TrimEndingDirectorySeparator(path);
        var parent = Path.GetDirectoryName(missing);
        while (!string.IsNullOrEmpty(parent) && !Directory.Exists(parent))
        {
            (missing, parent) = (parent, Path.GetDirectoryName(parent));
        }

        var isLast = missing.Length == Path.TrimEndingDirectorySeparator(path).Length;
        try
        {
            var place = string.IsNullOrEmpty(parent) ? "." : parent;
            List<string> names =
            [
                .. (isLast ? list(place) : Directory.EnumerateDirectories(place))
                    .Select(each => Path.GetFileName(each)!)
                    .Where(name => !name.StartsWith('.'))
                    .Order(StringComparer.Ordinal),
            ];
            var found = Suggestion.For(Path.GetFileName(missing), names);
            if (found is not null)
            {
                var meant = Path.Combine(string.IsNullOrEmpty(parent) ? "" : parent, found);
                return $" Did you mean {meant}{path[missing.Length..]}?";
            }

            var where =
                isLast ? ""
                : string.IsNullOrEmpty(parent) ? $" There is no folder {missing} here."
                : $" {parent} has no folder {Path.GetFileName(missing)}.";
            return string.IsNullOrEmpty(parent) || names.Count == 0
                ? where
                : $"{where} {parent} has {string.Join(", ", names.Take(MaxNames))}"
                    + $"{(names.Count > MaxNames ? $" and {names.Count - MaxNames} more" : "")}.";
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return ""; // what cannot be listed cannot be suggested
        }
    }
}
