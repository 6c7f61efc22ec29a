using GlmTune.Files;
using GlmTune.Hub;
using GlmTune.Hub.Caches;

namespace GlmTune.Recipes.Models;

/// <summary>A model as named by the user: a folder, or the name of a downloaded model such as
/// <c>THUDM/glm-4-9b-chat</c>.</summary>
internal static class ModelReference
{
    /// <summary>The model folder.</summary>
    /// <param name="model">A folder, or a downloaded model: <c>OWNER/NAME</c> or <c>OWNER/NAME@REVISION</c>. An
    /// existing folder takes precedence.</param>
    /// <param name="caches">Where to look for downloaded models; null: the usual caches.</param>
    /// <exception cref="InvalidDataException">There is neither such a folder nor such a model; the message says how to
    /// get it.</exception>
    public static string Resolve(string model, ModelCaches? caches = null)
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

        caches ??= ModelCaches.FromEnvironment();
        var isName = HubName.TryParse(model, out var name);
        if (isName && caches.Find(name!) is { } found)
        {
            return found;
        }

        // What starts with a folder that is here is a mistyped path.
        if (!isName || Directory.Exists(name!.Owner))
        {
            throw new InvalidDataException(
                NearbyNames.MissingFolder(model, "a model folder, or a Hub id such as THUDM/glm-4-9b-chat")
            );
        }

        throw new InvalidDataException(
            $"{model}: no such folder, and no such model in the caches. Download it (`glmtune model pull {model}`), or "
                + $"pass a folder that contains its files. Searched {string.Join(", ", caches.PlacesOf(name))}."
        );
    }
}
