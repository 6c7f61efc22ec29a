using GlmTune.Files;
using GlmTune.Hub;
using GlmTune.Hub.Caches;
using GlmTune.Model;
using GlmTune.Model.Adapters;
using GlmTune.Recipes.Models;

namespace GlmTune.Recipes.Chat;

/// <summary>A path that can be chatted with: a model folder, or an adapter folder with its base model.</summary>
/// <param name="ModelFolder">The model, or the adapter's base.</param>
/// <param name="AdapterFolder">The adapter; null for a plain model.</param>
internal sealed record TunedPath(string ModelFolder, string? AdapterFolder)
{
    /// <summary>The folders that are read: the model, then the adapter if there is one.</summary>
    public IReadOnlyList<string> Folders => AdapterFolder is null ? [ModelFolder] : [ModelFolder, AdapterFolder];

    /// <summary>Fingerprint of the contents of the two folders: configuration, weights and tokenizer.</summary>
    /// <exception cref="IOException">A file cannot be read.</exception>
    public string Fingerprint() =>
        string.Join('+', new[] { ModelFolder, AdapterFolder }.OfType<string>().Select(OfFolder));

    /// <summary>Resolves a path.</summary>
    /// <param name="path">A model folder, an adapter folder, or the name of a downloaded
    /// model.</param>
    /// <param name="baseModel">Base model to use instead of the one that the adapter names: a folder or a Hub
    /// id.</param>
    /// <param name="caches">Where to look for downloaded models; null: the usual caches.</param>
    /// <remarks>The name in <c>base_model_name_or_path</c> is looked up beside the adapter, beside its parent, relative
    /// to the working folder, and finally in the cache.</remarks>
    /// <exception cref="InvalidDataException">A folder is missing or of another kind; the message says what to
    /// do.</exception>
    public static TunedPath Resolve(string path, string? baseModel = null, ModelCaches? caches = null)
    {
        var folder = ModelReference.Resolve(path, caches);
        if (AdapterConfigFile.IsIn(folder))
        {
            return new TunedPath(
                baseModel is null ? FindBase(folder, caches) : ModelReference.Resolve(baseModel, caches),
                folder
            );
        }

        if (!File.Exists(Path.Combine(folder, ModelConfig.FileName)))
        {
            throw new InvalidDataException(
                $"{path}: neither a model ({ModelConfig.FileName}) nor an adapter "
                    + $"({AdapterConfigFile.FileName}).{Checkpoints(folder)}"
            );
        }

        return baseModel is null
            ? new TunedPath(folder, null)
            : throw new InvalidDataException(
                $"{path}: is a model, not an adapter, so the base model {baseModel} does not apply."
            );
    }

    private static string FindBase(string adapter, ModelCaches? caches)
    {
        var config = AdapterConfigFile.Read(adapter);
        var file = config.Path;
        var name = config.BaseModel is { Length: > 0 } named
            ? named
            : throw new InvalidDataException(
                $"{file}: no base_model_name_or_path. Pass the base model's folder with --base."
            );
        name = HomePath.Expand(name);
        var full = Path.GetFullPath(adapter).TrimEnd(Path.DirectorySeparatorChar);
        var parent = Path.GetDirectoryName(full);
        string?[] beside = Path.IsPathRooted(name)
            ? []
            : [parent, parent is null ? null : Path.GetDirectoryName(parent)];
        string[] places = [.. beside.OfType<string>().Select(place => Path.GetFullPath(name, place)), name];
        if (places.FirstOrDefault(Directory.Exists) is { } found)
        {
            return found;
        }

        caches ??= ModelCaches.FromEnvironment();
        var isName = HubName.TryParse(name, out var hub);
        return (isName ? caches.Find(hub!) : null)
            ?? throw new InvalidDataException(
                isName
                    ? $"{file}: base model '{name}' not found. Download it (`glmtune model pull {name}`), or pass its "
                        + $"folder with --base. Searched {string.Join(", ", places)} and the caches of downloaded "
                        + "models."
                    : $"{file}: base model '{name}' not found. Pass its folder with --base. Searched "
                        + $"{string.Join(", ", places)}."
            );
    }

    private static string OfFolder(string folder) =>
        ContentFingerprint.Of(
            Directory
                .EnumerateFiles(folder)
                .Where(path =>
                    Path.GetFileName(path)
                        is ModelConfig.FileName
                            or AdapterConfigFile.FileName
                            or "tokenizer.model"
                            or "tokenizer.json"
                            or "tokenizer_config.json"
                    || (
                        Path.GetExtension(path) == ".safetensors"
                        && !Path.GetFileName(path).StartsWith("optimizer-", StringComparison.Ordinal)
                    )
                )
        );

    // An output folder contains checkpoints; suggest the last one.
    private static string Checkpoints(string folder)
    {
        var last = Directory
            .EnumerateDirectories(folder, "checkpoint-*")
            .MaxBy(checkpoint =>
                int.TryParse(Path.GetFileName(checkpoint)["checkpoint-".Length..], out var step) ? step : -1
            );
        return last is null ? "" : $" Did you mean {last}?";
    }
}
