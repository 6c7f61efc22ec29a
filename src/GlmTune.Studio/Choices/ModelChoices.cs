using GlmTune.Hub.Caches;
using GlmTune.Model;

namespace GlmTune.Studio.Choices;

/// <summary>A model that can be trained.</summary>
/// <param name="Name">What names it: a path, or <c>OWNER/NAME</c> of a downloaded one.</param>
/// <param name="Folder">Its folder.</param>
/// <param name="IsDownloaded">Whether it is in a cache of downloaded models.</param>
/// <param name="Parameters">Number of parameters; null if its configuration cannot be read.</param>
/// <param name="Problem">Why it cannot be used; null if nothing is known against it.</param>
internal sealed record ModelChoice(string Name, string Folder, bool IsDownloaded, long? Parameters, string? Problem);

/// <summary>The models in the roots and in the caches of downloaded models.</summary>
/// <param name="paths">The folders of the studio.</param>
/// <param name="caches">Returns the caches.</param>
internal sealed class ModelChoices(StudioPaths paths, Func<ModelCaches> caches)
{
    private const string Adapter = "adapter_config.json";

    /// <summary>All models, those in the roots first.</summary>
    public IReadOnlyList<ModelChoice> List() =>
        [
            .. paths
                .Folders()
                .Where(folder =>
                    File.Exists(Path.Combine(folder, ModelConfig.FileName))
                    && !File.Exists(Path.Combine(folder, Adapter))
                    && Directory.EnumerateFiles(folder, "*.safetensors").Any()
                )
                .Select(folder => Of(paths.NameOf(folder), folder, false)),
            .. caches()
                .List()
                .Where(model => File.Exists(Path.Combine(model.Folder, ModelConfig.FileName)))
                .Select(model => Of(model.Name, model.Folder, true)),
        ];

    /// <summary>The model of a name; only listed ones have one.</summary>
    /// <exception cref="InvalidDataException">It is not listed.</exception>
    public ModelChoice Named(string name) =>
        List().FirstOrDefault(model => model.Name == name)
        ?? throw new InvalidDataException($"{name}: is not one of the models of this studio. Choose one of the list.");

    private static ModelChoice Of(string name, string folder, bool isDownloaded)
    {
        try
        {
            return new ModelChoice(name, folder, isDownloaded, ModelConfig.Read(folder).ParameterCount, null);
        }
        catch (Exception error) when (error is InvalidDataException or IOException or UnauthorizedAccessException)
        {
            return new ModelChoice(name, folder, isDownloaded, null, error.Message);
        }
    }
}
