using GlmTune.Files;

namespace GlmTune.Kernels.Native;

/// <summary>The places where libtorch may be, and which to prefer.</summary>
/// <param name="variable">Returns the value of an environment variable.</param>
/// <param name="beside">Folders beside the program that hold libtorch.</param>
/// <param name="fetched">Folder of what <c>glmtune setup libtorch</c> has unpacked; null if there is no such
/// place.</param>
/// <param name="hasDriver">Whether an NVIDIA driver is present.</param>
internal sealed class LibtorchSearch(
    Func<string, string?> variable,
    IReadOnlyList<string> beside,
    string? fetched,
    bool hasDriver
)
{
    /// <summary>Origin of the libtorch that comes with the program.</summary>
    public const string BesideTheProgram = "beside the program";

    /// <summary>Environment variable that names the libtorch to use.</summary>
    public const string Variable = "GLMTUNE_LIBTORCH";

    /// <summary>The places with libtorch's libraries, the preferred first.</summary>
    /// <remarks>If <see cref="Variable"/> is set, only what it names. Otherwise, with a driver, those with CUDA come
    /// before those without; then the one beside the program, then the newest release.</remarks>
    public IReadOnlyList<LibtorchPlace> Places()
    {
        if (variable(Variable) is { Length: > 0 } named)
        {
            return [Named(named)];
        }

        var installs = new PyTorchInstalls(variable);
        return
        [
            .. beside
                .Select(folder => Place(folder, BesideTheProgram))
                .Concat(Fetched().Select(folder => Place(folder, "from glmtune setup")))
                .Concat(installs.Folders().Select(found => Place(found.Folder, found.Origin)))
                .DistinctBy(place => place.Folder)
                .OrderByDescending(place => hasDriver && place.HasCuda)
                .ThenByDescending(place => beside.Contains(place.Folder))
                .ThenByDescending(place => place.Version),
        ];
    }

    private static LibtorchPlace Place(string folder, string origin) =>
        new(folder, origin, PyTorchInstalls.VersionOf(folder), LibtorchCheck.HasCuda(folder));

    // The folder itself, that of a PyTorch installation, or an environment of Python by path or name.
    private LibtorchPlace Named(string text)
    {
        var given = HomePath.Expand(text, HomePath.HomeOf(variable));
        var environments =
            text.Contains(Path.DirectorySeparatorChar, StringComparison.Ordinal) || Directory.Exists(given)
                ? [given]
                : new PyTorchInstalls(variable).EnvironmentsNamed(text).ToArray();
        var folder = environments
            .SelectMany<string, string>(environment =>
                [
                    environment,
                    Path.Combine(environment, "lib"),
                    Path.Combine(environment, "torch", "lib"),
                    .. PyTorchInstalls.Inside(environment),
                ]
            )
            .FirstOrDefault(folder => File.Exists(Path.Combine(folder, LibtorchCheck.FileOf("torch_cpu"))));
        return Place(Path.GetFullPath(folder ?? given), $"named by {Variable}");
    }

    private IEnumerable<string> Fetched() =>
        fetched is not null && Directory.Exists(fetched)
            ? Directory
                .EnumerateDirectories(fetched)
                .Where(folder => !Path.GetFileName(folder).StartsWith("tmp-", StringComparison.Ordinal))
                .Select(folder => Path.Combine(folder, "lib"))
                .Where(Directory.Exists)
                .Order(StringComparer.Ordinal)
            : [];
}

/// <summary>A place where libtorch may be.</summary>
/// <param name="Folder">Folder of its libraries.</param>
/// <param name="Origin">How it was found, such as <c>VIRTUAL_ENV</c>.</param>
/// <param name="Version">Its release; null if no file beside it says.</param>
/// <param name="HasCuda">Whether it has libraries for CUDA.</param>
internal sealed record LibtorchPlace(string Folder, string Origin, Version? Version, bool HasCuda);
