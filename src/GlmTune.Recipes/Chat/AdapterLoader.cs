using GlmTune.Inference;
using GlmTune.Model;
using GlmTune.Recipes.Models;

namespace GlmTune.Recipes.Chat;

/// <summary>Loads and unloads the adapters of a model that answers meanwhile: files are read and checked beside it, and
/// only the matrices are brought to its device between two passes. DoRA needs the model's own weights, so answers wait
/// until it is read.</summary>
/// <remarks>Not thread-safe.</remarks>
internal sealed class AdapterLoader : IDisposable
{
    private readonly TunedModel model;
    private readonly Generator generator;
    private DecoderModel? shape;

    /// <param name="model">The model, which serves adapters; it must outlive the loader.</param>
    /// <param name="generator">The generator of its answers.</param>
    public AdapterLoader(TunedModel model, Generator generator) => (this.model, this.generator) = (model, generator);

    /// <summary>Loads an adapter.</summary>
    /// <param name="name">Its name in requests.</param>
    /// <param name="folder">Its folder.</param>
    /// <exception cref="ArgumentException">The name is used already.</exception>
    /// <exception cref="InvalidDataException">It is damaged, was trained on another base model, or cannot be served
    /// beside others.</exception>
    public void Load(string name, string folder)
    {
        LoadedFolder.Verify(folder, hashes: true);
        if (BaseCheck.IsOfOtherWeights(folder, model.Path.ModelFolder))
        {
            throw new InvalidDataException(
                $"{folder}: was trained on another base model than {model.Path.ModelFolder}: the weights differ. "
                    + "Serve it on its own base."
            );
        }

        shape ??= ModelFolder.LayOut(model.Path.ModelFolder);
        var served = model.Served!;
        var read = served.TryRead(name, folder, shape);
        generator.BetweenPasses(() => _ = read is null ? served.Load(name, folder) : served.Add(read));
    }

    /// <summary>Unloads an adapter; rows that use it fail.</summary>
    /// <param name="name">Its name.</param>
    /// <exception cref="ArgumentException">There is no adapter with this name.</exception>
    public void Unload(string name) => generator.BetweenPasses(() => model.Served!.Unload(name));

    /// <inheritdoc/>
    public void Dispose() => shape?.Dispose();
}
