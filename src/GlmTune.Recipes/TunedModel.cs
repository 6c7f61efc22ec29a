using GlmTune.Model;
using GlmTune.Model.Adapters;
using GlmTune.Model.Glm4;
using static TorchSharp.torch;

namespace GlmTune.Recipes;

/// <summary>A model in memory with the adapter that it was tuned with, if any.</summary>
public sealed class TunedModel : IDisposable
{
    private readonly IDisposable? adapter;

    private TunedModel(TunedPath path, Glm4Model model, IDisposable? adapter) => (Path, Model, this.adapter) = (path, model, adapter);

    /// <summary>Where it is from.</summary>
    public TunedPath Path { get; }

    /// <summary>The model, its adapter attached.</summary>
    public Glm4Model Model { get; }

    /// <summary>Loads a model and its adapter.</summary>
    /// <param name="path">What to load.</param>
    /// <param name="type">Type to compute in.</param>
    /// <param name="device">Where to.</param>
    /// <exception cref="InvalidDataException">Files are missing or damaged, or the adapter is not one of this model.</exception>
    public static TunedModel Load(TunedPath path, ScalarType type, Device device)
    {
        var model = ModelFolder.Load(path.ModelFolder, type, device);
        try
        {
            return new TunedModel(path, model, path.AdapterFolder is null ? null : Attach(path.AdapterFolder, model));
        }
        catch
        {
            model.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        adapter?.Dispose();
        Model.Dispose();
    }

    private static Lora Attach(string folder, Glm4Model model) => AdapterConfigFile.Read(folder) switch
    {
        { Kind: "LORA" } => AdapterFolder.LoadLora(folder, model),
        var other => throw new InvalidDataException($"{other.Path}: an adapter of the kind {other.Kind} cannot be attached yet; expected LORA."),
    };
}
