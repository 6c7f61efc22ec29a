namespace GlmTune.Files;

/// <summary>The user's folder for files that can be made again.</summary>
public static class CacheFolder
{
    /// <summary>GlmTune's part of it: <c>$XDG_CACHE_HOME/glmtune</c>, or <c>~/.cache/glmtune</c>.</summary>
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
}
