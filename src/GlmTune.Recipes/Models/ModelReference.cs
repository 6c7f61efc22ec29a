using GlmTune.Files;

namespace GlmTune.Recipes.Models;

/// <summary>What people call a model: a folder, or a hub id such as <c>THUDM/glm-4-9b-chat</c>.</summary>
public static class ModelReference
{
    /// <summary>The model's folder.</summary>
    /// <param name="model">A folder, or a hub id of a model in the local cache. A folder of that name comes
    /// first.</param>
    /// <param name="cache">Where downloaded models lie; null for this machine's places.</param>
    /// <exception cref="InvalidDataException">The folder does not exist and no such model; the message says where to
    /// put it.</exception>
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

        throw new InvalidDataException(
            $"{model}: no such folder, and no such model in the Hugging Face cache. Download it (`hf download {model}`), "
                + "or put its files into a folder and pass that. Searched "
                + $"{string.Join(", ", cache.Folders.Select(folder => Path.Combine(folder, HubCache.FolderName(model))))}."
        );
    }
}
