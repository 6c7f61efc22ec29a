using GlmTune.Files;

namespace GlmTune.Kernels.Native;

/// <summary>Where PyTorch installs keep their libraries; nothing of Python is run to find them.</summary>
internal static class PyTorchInstalls
{
    /// <summary>Existing <c>torch/lib</c> folders: the active environment's first, then those of the interpreters on
    /// the path, then the system's.</summary>
    public static IEnumerable<string> Folders() =>
        Prefixes()
            .SelectMany(SitePackages)
            .Select(site => Path.Combine(site, "torch", "lib"))
            .Where(Directory.Exists)
            .Distinct();

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
            // The folder as named: a virtual environment's python3 is a link, and its packages lie beside the link.
            // Then where a wrapper or link leads.
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
