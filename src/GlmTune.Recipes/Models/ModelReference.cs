using GlmTune.Files;

namespace GlmTune.Recipes.Models;

/// <summary>A model as named by the user: a folder, or a Hub id such as <c>THUDM/glm-4-9b-chat</c>.</summary>
internal static class ModelReference
{
    /// <summary>The model folder.</summary>
    /// <param name="model">A folder, or the Hub id of a model in the local cache. An existing folder takes
    /// precedence.</param>
    /// <param name="cache">Where to look for downloaded models; null: the usual locations.</param>
    /// <exception cref="InvalidDataException">There is neither such a folder nor such a model; the message says where
    /// to put it.</exception>
    public static string Resolve(string model, HubCache? cache = null)
    {
        model = HomePath.Expand(model);
        if (Directory.Exists(model))
        {
            return model;
        }

        if (File.Exists(model))
        {
            throw new InvalidDataException(
                $"{model}: is a file; expected a model folder with config.json, *.safetensors and the "
                    + "tokenizer files."
            );
        }

        cache ??= HubCache.FromEnvironment();
        var isId = HubCache.IsId(model);
        if (isId && cache.Find(model) is { } found)
        {
            return found;
        }

        if (!isId || Directory.Exists(Path.GetDirectoryName(model)!))
        {
            throw new InvalidDataException(
                NearbyNames.MissingFolder(model, "a model folder, or a Hub id such as THUDM/glm-4-9b-chat")
            );
        }

        var searched = cache.Folders.Select(folder => Path.Combine(folder, HubCache.FolderName(model)));
        throw new InvalidDataException(
            $"{model}: no such folder, and no such model in the Hugging Face cache. Download it (`hf download "
                + $"{model}`), or pass a folder that contains its files. Searched {string.Join(", ", searched)}."
        );
    }
}
