using GlmTune.Files;
using GlmTune.Hub;
using GlmTune.Hub.Caches;
using GlmTune.Model;
using GlmTune.Model.Adapters;

namespace GlmTune.Recipes.Models;

/// <summary>Checks downloaded models: all bytes against the hashes that the site listed, and whether all files are
/// there.</summary>
internal static class VerifyModel
{
    /// <summary>Reads and hashes all files of a model.</summary>
    /// <param name="model">A name as for <see cref="ModelReference"/>, or a folder that glmtune wrote.</param>
    /// <param name="caches">Where to look for downloaded models; null: the usual caches.</param>
    /// <exception cref="InvalidDataException">There is no such model, or nothing to compare it with.</exception>
    public static IReadOnlyList<VerifiedFolder> Run(string model, ModelCaches? caches = null)
    {
        caches ??= ModelCaches.FromEnvironment();
        if (Directory.Exists(HomePath.Expand(model)) || !HubName.TryParse(model, out var name))
        {
            return VerifyCheckpoint.Run(ModelReference.Resolve(model, caches));
        }

        var found = caches.Named(name);
        if (found.Count == 0)
        {
            _ = ModelReference.Resolve(model, caches); // says how to get it
        }

        return [.. found.Select(Verify)];
    }

    private static VerifiedFolder Verify(CachedModel model)
    {
        var (problems, known) = CachedContent.Verify(model);
        List<string> all = [.. problems];
        try
        {
            if (!AdapterConfigFile.IsIn(model.Folder))
            {
                ModelFolder.Check(model.Folder);
            }
        }
        catch (Exception error) when (error is InvalidDataException or IOException or UnauthorizedAccessException)
        {
            all.Add(error.Message);
        }

        return new VerifiedFolder(
            model.Folder,
            all,
            known > 0 ? [] : ["another program downloaded it without recording hashes; only its structure was checked"]
        );
    }
}
