namespace GlmTune.Hub.Caches;

/// <summary>The caches in which models are looked up by name; nothing is downloaded here.</summary>
/// <param name="Hub">The cache of the Hugging Face Hub, which comes first.</param>
/// <param name="ModelScope">ModelScope's cache.</param>
internal sealed record ModelCaches(HubCache Hub, ModelScopeCache ModelScope)
{
    /// <summary>The usual caches of the user.</summary>
    /// <param name="variable">Returns the value of an environment variable; null: those of this process.</param>
    public static ModelCaches FromEnvironment(Func<string, string?>? variable = null) =>
        new(HubCache.FromEnvironment(variable), ModelScopeCache.FromEnvironment(variable));

    /// <summary>Folder of a model; null if it is in none of the caches.</summary>
    public string? Find(HubName name) => Hub.Find(name) ?? ModelScope.Find(name);

    /// <summary>All models.</summary>
    public IReadOnlyList<CachedModel> List() => [.. Hub.List(), .. ModelScope.List()];

    /// <summary>The models that a name stands for: all revisions if it names none.</summary>
    public IReadOnlyList<CachedModel> Named(HubName name)
    {
        List<CachedModel> all = [.. List().Where(model => model.Id == name.Id)];
        return name.Revision is not { } revision
            ? all
            :
            [
                .. all.Where(model =>
                    model.Revisions.Contains(revision)
                    || model.Commit?.StartsWith(revision, StringComparison.Ordinal) == true
                ),
            ];
    }

    /// <summary>Where a model is looked up, for messages.</summary>
    public IEnumerable<string> PlacesOf(HubName name) =>
        [
            .. Hub.Folders.Select(folder => Path.Combine(folder, HubCache.FolderName(name.Id))),
            .. ModelScope.Folders.Select(folder => Path.Combine(folder, "models", name.Owner, name.Name)),
        ];

    /// <summary>Deletes a model.</summary>
    /// <param name="model">One of <see cref="List"/>.</param>
    /// <exception cref="IOException">A file cannot be deleted.</exception>
    public static void Remove(CachedModel model)
    {
        if (model.Site == ModelSite.HuggingFace)
        {
            HubCache.Remove(model);
        }
        else
        {
            ModelScopeCache.Remove(model);
        }
    }
}
