namespace GlmTune.Collectives;

/// <summary>The folders on the PATH.</summary>
internal static class SearchPath
{
    /// <summary>The first file with a given name; null if there is none.</summary>
    public static string? Find(string program) =>
        (Environment.GetEnvironmentVariable("PATH") ?? "")
            .Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries)
            .Select(folder => Path.Combine(folder, program))
            .FirstOrDefault(File.Exists);
}
