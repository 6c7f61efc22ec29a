namespace GlmTune.Kernels.Native;

/// <summary>Where files lie that can be made again: the user's cache folder.</summary>
internal static class CacheFolder
{
    /// <summary>The app's part of it: <c>$XDG_CACHE_HOME/glmtune</c>, or <c>~/.cache/glmtune</c>.</summary>
    public static string Root
    {
        get
        {
            var root = Environment.GetEnvironmentVariable("XDG_CACHE_HOME");
            return string.IsNullOrEmpty(root)
                ? Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".cache", "glmtune")
                : Path.Combine(root, "glmtune");
        }
    }

    /// <summary>Writes a file there, aside and then renamed, so that another process never reads half of it.</summary>
    public static void Write(string path, byte[] bytes)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        var aside = $"{path}.{Environment.ProcessId}.{Environment.CurrentManagedThreadId}";
        File.WriteAllBytes(aside, bytes);
        File.Move(aside, path, overwrite: true);
    }
}
