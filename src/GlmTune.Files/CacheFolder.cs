namespace GlmTune.Files;

/// <summary>The user's folder for files that can be regenerated: <c>$XDG_CACHE_HOME/glmtune</c>, or
/// <c>~/.cache/glmtune</c>.</summary>
/// <remarks>If it is not writable, a folder of this process under the system's temporary folder is used instead. That
/// folder is private and removed at exit, so nobody else can put files there. Thread-safe.</remarks>
internal sealed class CacheFolder
{
    private static readonly Lazy<CacheFolder> OfUser = new(() =>
        new CacheFolder(Environment.GetEnvironmentVariable, Path.GetTempPath())
    );
    private readonly Lock gate = new();
    private readonly string? usual;
    private readonly string temporaryParent;
    private string? temporary;

    /// <summary>A cache folder located by environment variables.</summary>
    /// <param name="variable">Returns the value of an environment variable.</param>
    /// <param name="temporaryParent">Where to create the fallback folder of this process.</param>
    internal CacheFolder(Func<string, string?> variable, string temporaryParent)
    {
        var home = HomePath.HomeOf(variable);
        usual =
            variable("XDG_CACHE_HOME") is { Length: > 0 } named
                ? Path.Combine(home is null ? named : HomePath.Expand(named, home), "glmtune")
            : home is null ? null
            : Path.Combine(home, ".cache", "glmtune");
        this.temporaryParent = temporaryParent;
    }

    /// <summary>The cache folder of this process.</summary>
    public static CacheFolder Current => OfUser.Value;

    /// <summary>The folder, which may not exist yet; null if no home folder is known.</summary>
    public string? Location => usual;

    /// <summary>Called once if the usual folder is not writable, with a note that says what to do.</summary>
    public event Action<string>? Unwritable;

    /// <summary>Path of a cached file, which is created if it is missing.</summary>
    /// <param name="name">Its path inside the folder.</param>
    /// <param name="make">Creates its content.</param>
    /// <returns>The full path.</returns>
    /// <exception cref="IOException">Neither the usual folder nor the fallback is writable.</exception>
    public string FileOf(string name, Func<byte[]> make)
    {
        if (usual is not null && Path.Combine(usual, name) is var file && File.Exists(file))
        {
            return file;
        }

        lock (gate)
        {
            if (temporary is not null && File.Exists(Path.Combine(temporary, name)))
            {
                return Path.Combine(temporary, name);
            }

            var content = make();
            return (temporary is null && usual is not null ? TryWrite(Path.Combine(usual, name), content) : null)
                ?? WriteTemporary(name, content);
        }
    }

    /// <summary>A small cached content, which is made if it is missing. If the folder is not writable, it is made each
    /// time, without a note.</summary>
    /// <param name="name">Its path inside the folder.</param>
    /// <param name="make">Makes the content.</param>
    public byte[] Remember(string name, Func<byte[]> make)
    {
        var path = usual is null ? null : Path.Combine(usual, name);
        try
        {
            if (path is not null && File.Exists(path))
            {
                return RegularFile.ReadBytes(path);
            }
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or InvalidDataException)
        {
            path = null;
        }

        var content = make();
        try
        {
            if (path is not null)
            {
                AtomicFile.WriteBytes(path, content);
            }
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            // Only time is lost.
        }

        return content;
    }

    private string? TryWrite(string path, byte[] content)
    {
        try
        {
            AtomicFile.WriteBytes(path, content);
            return path;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            Unwritable?.Invoke(
                $"{usual} cannot be written ({Shown(error)}); a temporary folder is used instead, and its "
                    + "files are created again in each run. To keep them, set XDG_CACHE_HOME to a writable folder."
            );
            return null;
        }
    }

    private string WriteTemporary(string name, byte[] content)
    {
        try
        {
            if (temporary is null)
            {
                var folder = new DirectoryInfo(Path.Combine(temporaryParent, $"glmtune-cache-{Guid.NewGuid():N}"));
                Disk.CreateFolder(folder.FullName);
                if (!OperatingSystem.IsWindows())
                {
                    folder.UnixFileMode = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;
                }

                temporary = folder.FullName;
                AppDomain.CurrentDomain.ProcessExit += (_, _) => Remove(folder.FullName);
                if (usual is null)
                {
                    Unwritable?.Invoke(
                        "no home folder is known, so there is no place for a cache; a temporary folder is "
                            + "used instead, and its files are created again in each run. To keep them, set "
                            + "XDG_CACHE_HOME to a writable folder."
                    );
                }
            }

            var path = Path.Combine(temporary, name);
            AtomicFile.WriteBytes(path, content);
            return path;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new IOException(
                $"A cache folder is needed, but neither {usual ?? "a home folder"} nor {temporaryParent} can "
                    + $"be written ({Shown(error)}). Set XDG_CACHE_HOME to a writable folder.",
                error
            );
        }
    }

    private static void Remove(string folder)
    {
        try
        {
            Disk.DeleteFolder(folder);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            // The system deletes files here sooner or later.
        }
    }

    private static string Shown(Exception error) => error.Message.TrimEnd('.');
}
