using GlmTune.Files;
using GlmTune.Files.Json;

namespace GlmTune.Hub.Caches;

/// <summary>A downloaded model.</summary>
/// <param name="Site">The site whose cache holds it.</param>
/// <param name="Id"><c>OWNER/NAME</c>.</param>
/// <param name="Folder">The model folder.</param>
internal sealed record CachedModel(ModelSite Site, string Id, string Folder)
{
    private const string Config = "config.json";
    private const string AdapterConfig = "adapter_config.json";

    /// <summary>The commit; null if the cache does not record it.</summary>
    public string? Commit { get; init; }

    /// <summary>Branches and tags that stand for it.</summary>
    public IReadOnlyList<string> Revisions { get; init; } = [];

    /// <summary>The name that finds it: with its revision unless that is the main branch.</summary>
    public string Name =>
        Commit is null || Revisions.Contains(HubCache.MainRevision) ? Id
        : Revisions is [var first, ..] ? $"{Id}@{first}"
        : $"{Id}@{Commit}";

    /// <summary>Size of its files in bytes.</summary>
    public long Bytes => Files().Sum(SizeOf);

    /// <summary>Number of its files.</summary>
    public int FileCount => Files().Count();

    /// <summary>Its kind: <c>model_type</c> of its configuration, <c>adapter</c>, or <c>unknown</c>.</summary>
    public string Kind
    {
        get
        {
            try
            {
                return File.Exists(Path.Combine(Folder, AdapterConfig)) ? "adapter"
                    : File.Exists(Path.Combine(Folder, Config))
                    && JsonFile.ReadObject(Path.Combine(Folder, Config)).TryGetProperty("model_type", out var type)
                        ? TerminalText.Visible($"{type}")
                    : "unknown";
            }
            catch (Exception error) when (error is InvalidDataException or IOException or UnauthorizedAccessException)
            {
                return "unknown";
            }
        }
    }

    // Whether it is a model at all, and not the rest of something that was removed.
    internal static bool IsIn(string folder) =>
        File.Exists(Path.Combine(folder, Config)) || File.Exists(Path.Combine(folder, AdapterConfig));

    private IEnumerable<string> Files() =>
        Directory.Exists(Folder) ? Directory.EnumerateFiles(Folder, "*", SearchOption.AllDirectories) : [];

    // In the Hub's cache the files are links.
    private static long SizeOf(string path) =>
        new FileInfo(path) is { LinkTarget: null } file ? file.Length
        : (File.ResolveLinkTarget(path, returnFinalTarget: true) as FileInfo) is { Exists: true } target ? target.Length
        : 0;
}
