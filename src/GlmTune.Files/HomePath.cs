namespace GlmTune.Files;

/// <summary>Paths as people write them: <c>~</c> at their beginning is the home folder, also where no shell has
/// replaced it.</summary>
public static class HomePath
{
    /// <summary>The home folder: what <c>HOME</c> names, or the account's; null where neither is known.</summary>
    public static string? Home => HomeOf(Environment.GetEnvironmentVariable);

    /// <summary>The home folder by other environment variables.</summary>
    /// <param name="variable">Gives an environment variable.</param>
    public static string? HomeOf(Func<string, string?> variable) =>
        variable("HOME") is { Length: > 0 } home ? home
        : Environment.GetFolderPath(Environment.SpecialFolder.UserProfile) is { Length: > 0 } profile ? profile
        : null;

    /// <summary>The path with the home folder for <c>~</c> or <c>~/</c> at its beginning; other paths as they
    /// are.</summary>
    /// <param name="path">As it was written.</param>
    /// <param name="home">The home folder; null for this process's.</param>
    /// <exception cref="InvalidDataException">It begins with <c>~</c>, and no home folder is known.</exception>
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

    /// <summary>The path in an environment variable; null where it is not set or empty.</summary>
    public static string? OfVariable(string name) =>
        Environment.GetEnvironmentVariable(name) is { Length: > 0 } path ? Expand(path) : null;
}
