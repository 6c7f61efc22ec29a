using System.Text.RegularExpressions;
using GlmTune.Files;

namespace GlmTune.Kernels.Native;

/// <summary>Finds the libraries of PyTorch installations, without running Python.</summary>
internal static partial class PyTorchInstalls
{
    /// <summary>The oldest release that has all functions used here.</summary>
    private static readonly Version Oldest = new(2, 10);

    /// <summary>Existing <c>torch/lib</c> folders: of the active environment, then of the interpreters on the PATH,
    /// then of the system.</summary>
    public static IEnumerable<string> Folders() =>
        Prefixes()
            .SelectMany(SitePackages)
            .Select(site => Path.Combine(site, "torch", "lib"))
            .Where(Directory.Exists)
            .Distinct();

    /// <summary>The folders with a supported version, newest first, and why the others are not supported.</summary>
    /// <param name="folders">Folders with libtorch's libraries. Those without version information come last.</param>
    public static (IReadOnlyList<string> Fitting, IReadOnlyList<string> PassedOver) Choose(IEnumerable<string> folders)
    {
        var found = folders.Select(folder => (Folder: folder, Version: VersionOf(folder))).ToList();
        return (
            [
                .. found
                    .Where(one => one.Version is null || one.Version >= Oldest)
                    .OrderByDescending(one => one.Version)
                    .Select(one => one.Folder),
            ],
            [
                .. found
                    .Where(one => one.Version is { } version && version < Oldest)
                    .Select(one => $"{one.Folder} is PyTorch {one.Version}; GlmTune needs {Oldest} or newer"),
            ]
        );
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
                if (VersionText().Match(File.ReadAllText(Path.Combine(root, name))) is { Success: true } match)
                {
                    return Version.Parse(match.Groups[1].Value);
                }
            }
            catch (Exception error) when (error is IOException or UnauthorizedAccessException) { }
        }

        return null;
    }

    // "__version__ = '2.10.0+cu128'", or the version alone.
    [GeneratedRegex(
        """^(?:__version__\s*(?::[^=]*)?=\s*['"])?([0-9]{1,4}\.[0-9]{1,4}(?:\.[0-9]{1,4})?)""",
        RegexOptions.Multiline
    )]
    private static partial Regex VersionText();

    private static IEnumerable<string> Prefixes()
    {
        foreach (var variable in (string[])["VIRTUAL_ENV", "CONDA_PREFIX"])
        {
            if (HomePath.OfVariable(variable) is { } prefix)
            {
                yield return prefix;
            }
        }

        foreach (
            var folder in (Environment.GetEnvironmentVariable("PATH") ?? "").Split(
                Path.PathSeparator,
                StringSplitOptions.RemoveEmptyEntries
            )
        )
        {
            var python = Path.Combine(folder, "python3");
            if (!File.Exists(python))
            {
                continue;
            }
            // First the folder as named: a virtual environment's python3 is a link, and its packages are beside the
            // link. Then the target of a wrapper or link.
            yield return Path.GetFullPath(Path.Combine(folder, ".."));
            if (File.ResolveLinkTarget(python, returnFinalTarget: false) is { } target)
            {
                yield return Path.GetFullPath(Path.Combine(Path.GetDirectoryName(target.FullName)!, ".."));
            }
        }

        if (HomePath.Home is { } home)
        {
            yield return Path.Combine(home, ".local");
        }

        yield return "/usr/local";
        yield return "/usr";
    }

    private static IEnumerable<string> SitePackages(string prefix)
    {
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
