using GlmTune.Files;

namespace GlmTune.Recipes.Models;

/// <summary>Models that Hugging Face's tools have downloaded to this machine; nothing is downloaded here.</summary>
/// <param name="Folders">Cache folders in order of preference, with <c>models--ORGANISATION--NAME</c> inside.</param>
internal sealed record HubCache(IReadOnlyList<string> Folders)
{
    /// <summary>The folders that those tools use: <c>HF_HUB_CACHE</c>, <c>HF_HOME/hub</c>,
    /// <c>XDG_CACHE_HOME/huggingface/hub</c>, <c>~/.cache/huggingface/hub</c>.</summary>
    /// <param name="variable">Returns the value of an environment variable; null: those of this process.</param>
    public static HubCache FromEnvironment(Func<string, string?>? variable = null)
    {
        variable ??= Environment.GetEnvironmentVariable;
        var home = HomePath.HomeOf(variable);
        string? Under(string name, params string[] inside) =>
            variable(name) is { Length: > 0 } folder
                ? Path.Combine([home is null ? folder : HomePath.Expand(folder, home), .. inside])
                : null;

        string?[] folders =
        [
            Under("HF_HUB_CACHE"),
            Under("HUGGINGFACE_HUB_CACHE"),
            Under("HF_HOME", "hub"),
            Under("XDG_CACHE_HOME", "huggingface", "hub"),
            home is null ? null : Path.Combine(home, ".cache", "huggingface", "hub"),
        ];
        return new HubCache([.. folders.OfType<string>().Distinct()]);
    }

    /// <summary>Whether a name has the form of a Hub id, <c>ORGANISATION/NAME</c>.</summary>
    public static bool IsId(string name) =>
        name.Split('/') is [{ Length: > 0 } owner, { Length: > 0 } model] && IsName(owner) && IsName(model);

    /// <summary>Folder of a model's main revision (or of its only one, if main is unknown); null if the model is not
    /// here.</summary>
    /// <param name="id">A Hub id, <c>ORGANISATION/NAME</c>.</param>
    public string? Find(string id) =>
        Folders.Select(folder => Snapshot(Path.Combine(folder, FolderName(id)))).OfType<string>().FirstOrDefault();

    /// <summary>Name of a model's folder in the cache.</summary>
    public static string FolderName(string id) => $"models--{id.Replace("/", "--", StringComparison.Ordinal)}";

    private static string? Snapshot(string folder)
    {
        var (main, snapshots) = (Path.Combine(folder, "refs", "main"), Path.Combine(folder, "snapshots"));
        if (
            File.Exists(main)
            && Path.Combine(snapshots, RegularFile.ReadText(main).Trim()) is var named
            && Directory.Exists(named)
        )
        {
            return named;
        }

        return Directory.Exists(snapshots) && Directory.GetDirectories(snapshots) is [var only] ? only : null;
    }

    private static bool IsName(string part) =>
        part is not ("." or "..") && part.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '.');
}
