using GlmTune.Files;
using GlmTune.Files.Json;

namespace GlmTune.Hub.Caches;

/// <summary>Models in ModelScope's cache, which its Python library and <c>glmtune model pull --from modelscope</c>
/// fill: <c>models/OWNER/NAME</c>, in older versions <c>OWNER/NAME</c>, with one revision each.</summary>
/// <param name="Folders">Cache folders in order of preference. Downloads go to the first.</param>
internal sealed record ModelScopeCache(IReadOnlyList<string> Folders)
{
    /// <summary>Revision that is meant if none is named.</summary>
    public const string MainRevision = "master";

    /// <summary>File in a model's folder that names its revision.</summary>
    internal const string VersionFile = ".mv";

    /// <summary>File in a model's folder with sizes and hashes as the site listed them; written by this program
    /// only.</summary>
    internal const string ListFile = ".glmtune-files.json";

    private const string Models = "models";

    /// <summary>The folders that the Python library uses: <c>MODELSCOPE_CACHE</c> (or <c>hub</c> in it),
    /// <c>~/.cache/modelscope/hub</c>.</summary>
    /// <param name="variable">Returns the value of an environment variable; null: those of this process.</param>
    public static ModelScopeCache FromEnvironment(Func<string, string?>? variable = null)
    {
        variable ??= Environment.GetEnvironmentVariable;
        var home = HomePath.HomeOf(variable);
        List<string> folders = [];
        if (variable("MODELSCOPE_CACHE") is { Length: > 0 } named)
        {
            named = home is null ? named : HomePath.Expand(named, home);
            folders.AddRange([named, Path.Combine(named, "hub")]);
        }

        if (home is not null)
        {
            folders.Add(Path.Combine(home, ".cache", "modelscope", "hub"));
        }

        return new ModelScopeCache([.. folders.Distinct()]);
    }

    /// <summary>Folder of a model; null if it is not here in the revision that the name asks for.</summary>
    public string? Find(HubName name) =>
        Folders
            .SelectMany(folder =>
                ((string[])[Path.Combine(folder, Models), folder]).SelectMany(root =>
                    ((string[])[FolderName(name.Name), name.Name]).Select(last => Path.Combine(root, name.Owner, last))
                )
            )
            .FirstOrDefault(folder =>
                CachedModel.IsIn(folder) && (name.Revision is null || RevisionOf(folder) == name.Revision)
            );

    /// <summary>All models.</summary>
    public IEnumerable<CachedModel> List() =>
        Folders
            .SelectMany(folder => (string[])[Path.Combine(folder, Models), folder])
            .Where(Directory.Exists)
            .SelectMany(Directory.EnumerateDirectories)
            .Where(owner => !Path.GetFileName(owner).StartsWith('.'))
            .SelectMany(Directory.EnumerateDirectories)
            .Where(CachedModel.IsIn)
            .Distinct()
            .Order(StringComparer.Ordinal)
            .Select(folder => new CachedModel(ModelSite.ModelScope, IdOf(folder), folder)
            {
                Revisions = RevisionOf(folder) is { } revision ? [revision] : [],
            });

    /// <summary>Deletes a model.</summary>
    /// <param name="model">One of <see cref="List"/>.</param>
    /// <exception cref="IOException">A file cannot be deleted.</exception>
    public static void Remove(CachedModel model) => Disk.DeleteFolder(model.Folder);

    /// <summary>Sizes and hashes of a model's files as the site listed them; null if another program downloaded
    /// it.</summary>
    /// <exception cref="InvalidDataException">The list is damaged.</exception>
    internal static IReadOnlyList<HubFile>? ReadList(string folder)
    {
        var path = Path.Combine(folder, ListFile);
        return !File.Exists(path)
            ? null
            :
            [
                .. JsonFile
                    .Read(path, System.Text.Json.JsonValueKind.Array)
                    .EnumerateArray()
                    .Select(file => new HubFile(
                        Text(file, "name"),
                        file.TryGetProperty("size", out var size) && size.TryGetInt64(out var bytes) ? bytes : null,
                        ContentHash.TryParse(Text(file, "sha256"))
                    )),
            ];

        string Text(System.Text.Json.JsonElement file, string key) =>
            file.ValueKind == System.Text.Json.JsonValueKind.Object
            && file.TryGetProperty(key, out var value)
            && value.GetString() is { } text
                ? text
                : throw new InvalidDataException($"{path}: an entry lacks '{key}'. Delete this file.");
    }

    /// <summary>Name of a model's folder below its owner's.</summary>
    internal static string FolderName(string name) => name.Replace(".", "___", StringComparison.Ordinal);

    /// <summary>Folder for the downloaded model of this name.</summary>
    internal string FolderFor(HubName name) => Path.Combine(Folders[0], Models, name.Owner, FolderName(name.Name));

    private static string IdOf(string folder) =>
        $"{Path.GetFileName(Storage.ParentOf(folder))}/"
        + Path.GetFileName(folder).Replace("___", ".", StringComparison.Ordinal);

    // "Revision:master,CreatedAt:…"
    private static string? RevisionOf(string folder)
    {
        var file = Path.Combine(folder, VersionFile);
        if (!File.Exists(file))
        {
            return null;
        }

        var text = RegularFile.ReadText(file).Trim();
        return text.StartsWith("Revision:", StringComparison.Ordinal) ? text["Revision:".Length..].Split(',')[0] : text;
    }
}
