namespace GlmTune.Files;

/// <summary>The user's folder for files that can be made again: <c>$XDG_CACHE_HOME/glmtune</c>, or
/// <c>~/.cache/glmtune</c>.</summary>
/// <remarks>Where it cannot be written, a folder of this process takes its place, under the system's folder for
/// temporary files. It is private and removed at the end, so nobody else can put files there. Thread-safe.</remarks>
public sealed class CacheFolder
{
    private static readonly Lazy<CacheFolder> OfUser = new(() =>
        new CacheFolder(Environment.GetEnvironmentVariable, Path.GetTempPath())
    );
    private readonly Lock gate = new();
    private readonly string? usual;
    private readonly string temporaryParent;
    private string? temporary;

    /// <summary>The folder that environment variables say.</summary>
    /// <param name="variable">Gives an environment variable.</param>
    /// <param name="temporaryParent">Where a folder for this process is made if need be.</param>
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

    /// <summary>The one of this process.</summary>
    public static CacheFolder Current => OfUser.Value;

    /// <summary>Hears, once, that the usual folder cannot be written, and what to do.</summary>
    public event Action<string>? Unwritable;

    /// <summary>A file of the cache, which is made where it is missing.</summary>
    /// <param name="name">Its path inside the folder.</param>
    /// <param name="make">Makes its content.</param>
    /// <returns>Where it is.</returns>
    /// <exception cref="IOException">Neither the usual folder nor the temporary one can be written.</exception>
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
                $"{usual} cannot be written ({Shown(error)}); what is kept there between runs is made in a temporary "
                    + "folder instead. To keep it, set XDG_CACHE_HOME to a folder that can be written."
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
                var folder = Directory.CreateDirectory(
                    Path.Combine(temporaryParent, $"glmtune-cache-{Guid.NewGuid():N}")
                );
                if (!OperatingSystem.IsWindows())
                {
                    folder.UnixFileMode = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;
                }

                temporary = folder.FullName;
                AppDomain.CurrentDomain.ProcessExit += (_, _) => Remove(folder.FullName);
                if (usual is null)
                {
                    Unwritable?.Invoke(
                        "no home folder is known; what is kept in its cache between runs is made in a temporary folder "
                            + "instead. To keep it, set XDG_CACHE_HOME to a folder that can be written."
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
                $"A file has to be kept in a cache, and neither {usual ?? "a home folder"} nor {temporaryParent} can be "
                    + $"written ({Shown(error)}). Set XDG_CACHE_HOME to a folder that can be.",
                error
            );
        }
    }

    private static void Remove(string folder)
    {
        try
        {
            Directory.Delete(folder, recursive: true);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            // It is the system's folder for what may be removed later.
        }
    }

    private static string Shown(Exception error) => error.Message.TrimEnd('.');
}
