using System.Text.RegularExpressions;
using GlmTune.Files;

namespace GlmTune.Kernels.Native;

/// <summary>Finds the libraries of PyTorch installations, without running Python.</summary>
/// <param name="variable">Returns the value of an environment variable.</param>
internal sealed partial class PyTorchInstalls(Func<string, string?> variable)
{
    // Files that say the release are short; anything longer is something else.
    private const int MaxVersionBytes = 1 << 16;

    private string? Home => HomePath.HomeOf(variable);

    /// <summary>Existing <c>torch/lib</c> folders, each with how it was found: of the active environment, then of the
    /// interpreters on the PATH, then of the system.</summary>
    public IEnumerable<(string Folder, string Origin)> Folders() =>
        Prefixes().SelectMany(prefix => Inside(prefix.Path).Select(folder => (folder, prefix.Origin)));

    /// <summary>The <c>torch/lib</c> folders in an environment of Python.</summary>
    /// <param name="prefix">The environment's folder.</param>
    public static IEnumerable<string> Inside(string prefix) =>
        SitePackages(prefix).Select(site => Path.Combine(site, "torch", "lib")).Where(Directory.Exists);

    /// <summary>Environments with a name: those that conda has recorded, and those of virtualenvwrapper.</summary>
    public IEnumerable<string> EnvironmentsNamed(string name)
    {
        if (Home is not { } home)
        {
            return [];
        }

        IEnumerable<string> recorded = [];
        try
        {
            recorded = RegularFile
                .ReadText(Path.Combine(home, ".conda", "environments.txt"), MaxVersionBytes)
                .Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        }
        catch (Exception error) when (IsUnreadable(error)) { }

        return recorded
            .Where(path => Path.GetFileName(path) == name)
            .Append(Path.Combine(home, ".virtualenvs", name))
            .Where(Directory.Exists);
    }

    /// <summary>Version of the installation around a <c>lib</c> folder, from <c>version.py</c> of a Python package or
    /// <c>build-version</c> of a libtorch archive; null if there is neither.</summary>
    public static Version? VersionOf(string folder)
    {
        var root = Path.GetDirectoryName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(folder))) ?? folder;
        foreach (var name in (string[])["version.py", "build-version"])
        {
            try
            {
                var text = RegularFile.ReadText(Path.Combine(root, name), MaxVersionBytes);
                if (VersionText().Match(text) is { Success: true } match)
                {
                    return Version.Parse(match.Groups[1].Value);
                }
            }
            catch (Exception error) when (IsUnreadable(error)) { }
        }

        return null;
    }

    private static bool IsUnreadable(Exception error) =>
        error is IOException or UnauthorizedAccessException or InvalidDataException;

    // "__version__ = '2.10.0+cu128'", or the version alone.
    [GeneratedRegex(
        """^(?:__version__\s*(?::[^=]*)?=\s*['"])?([0-9]{1,4}\.[0-9]{1,4}(?:\.[0-9]{1,4})?)""",
        RegexOptions.Multiline
    )]
    private static partial Regex VersionText();

    private IEnumerable<(string Path, string Origin)> Prefixes()
    {
        foreach (var name in (string[])["VIRTUAL_ENV", "CONDA_PREFIX"])
        {
            if (variable(name) is { Length: > 0 } prefix)
            {
                yield return (HomePath.Expand(prefix, Home), name);
            }
        }

        foreach (
            var folder in (variable("PATH") ?? "").Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries)
        )
        {
            string[] names = OperatingSystem.IsWindows() ? ["python.exe"] : ["python3", "python"];
            if (names.Select(name => Path.Combine(folder, name)).FirstOrDefault(File.Exists) is not { } python)
            {
                continue;
            }

            // First the folder as named: a virtual environment's python3 is a link, and its packages are beside the
            // link. Then the target of a wrapper or link. On Windows the program lies in the environment's folder.
            yield return (Path.GetFullPath(Path.Combine(folder, "..")), $"{python} on the PATH");
            if (OperatingSystem.IsWindows())
            {
                yield return (folder, $"{python} on the PATH");
            }
            else if (File.ResolveLinkTarget(python, returnFinalTarget: false) is { } target)
            {
                yield return (
                    Path.GetFullPath(Path.Combine(Path.GetDirectoryName(target.FullName)!, "..")),
                    $"{python} on the PATH"
                );
            }
        }

        if (Home is { } home)
        {
            yield return (Path.Combine(home, ".local"), "of the user's Python");
        }

        yield return ("/usr/local", "of the system's Python");
        yield return ("/usr", "of the system's Python");
    }

    private static IEnumerable<string> SitePackages(string prefix)
    {
        yield return Path.Combine(prefix, "Lib", "site-packages"); // Windows
        var lib = Path.Combine(prefix, "lib");
        if (!Directory.Exists(lib))
        {
            yield break;
        }

        foreach (var python in Directory.EnumerateDirectories(lib, "python3*").OrderDescending(StringComparer.Ordinal))
        {
            yield return Path.Combine(python, "site-packages");
            yield return Path.Combine(python, "dist-packages");
        }
    }
}
