namespace GlmTune.Files;

/// <summary>Expands <c>~</c> at the start of a path to the home folder, for paths that no shell has expanded.</summary>
internal static class HomePath
{
    /// <summary>The home folder: the value of <c>HOME</c>, or the account's folder; null if neither is known.</summary>
    public static string? Home => HomeOf(Environment.GetEnvironmentVariable);

    /// <summary>The home folder according to other environment variables.</summary>
    /// <param name="variable">Returns the value of an environment variable.</param>
    public static string? HomeOf(Func<string, string?> variable) =>
        variable("HOME") is { Length: > 0 } home ? home
        : Environment.GetFolderPath(Environment.SpecialFolder.UserProfile) is { Length: > 0 } profile ? profile
        : null;

    /// <summary>The path with <c>~</c> or <c>~/</c> at the start replaced by the home folder; other paths
    /// unchanged.</summary>
    /// <param name="path">The path as written.</param>
    /// <param name="home">The home folder; null: that of this process.</param>
    /// <exception cref="InvalidDataException">The path starts with <c>~</c>, and no home folder is known.</exception>
    public static string Expand(string path, string? home = null)
    {
        if (path != "~" && !path.StartsWith("~/", StringComparison.Ordinal))
        {
            return path;
        }

        home ??=
            Home
            ?? throw new InvalidDataException(
                $"{path}: ~ means the home folder, but none is known. Set HOME, or write the path in full."
            );
        return path.Length <= 2 ? home : Path.Combine(home, path[2..].TrimStart('/'));
    }

    /// <summary>The path in an environment variable; null if it is unset or empty.</summary>
    public static string? OfVariable(string name) =>
        Environment.GetEnvironmentVariable(name) is { Length: > 0 } path ? Expand(path) : null;
}
