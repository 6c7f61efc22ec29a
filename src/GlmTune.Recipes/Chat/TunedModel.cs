using GlmTune.Model;
using GlmTune.Model.Adapters;
using GlmTune.Recipes.Models;
using static TorchSharp.torch;

namespace GlmTune.Recipes.Chat;

/// <summary>A model in memory with the adapter that it was tuned with, if any.</summary>
public sealed class TunedModel : IDisposable
{
    private TunedModel(TunedPath path, DecoderModel model, IAdapter? adapter) =>
        (Path, Model, Adapter) = (path, model, adapter);

    /// <summary>Where it is from.</summary>
    public TunedPath Path { get; }

    /// <summary>The model, its adapter attached.</summary>
    public DecoderModel Model { get; }

    /// <summary>The adapter; null for a model by itself.</summary>
    public IAdapter? Adapter { get; }

    /// <summary>The adapters that are served side by side; null: none are.</summary>
    public ServedAdapters? Served { get; private set; }

    /// <summary>Loads a model and its adapter.</summary>
    /// <param name="path">What to load.</param>
    /// <param name="type">Type to compute in.</param>
    /// <param name="device">Where to.</param>
    /// <exception cref="InvalidDataException">Files are missing or damaged, or the adapter is not one of this
    /// model.</exception>
    public static TunedModel Load(TunedPath path, ScalarType type, Device device) =>
        Load(path, type, config => new DevicePlan((device, config.LayerCount)));

    /// <summary>Loads a model and its adapter, each layer to its device.</summary>
    /// <param name="path">What to load.</param>
    /// <param name="type">Type to compute in.</param>
    /// <param name="plan">Says where each layer goes.</param>
    /// <param name="note">Gets what somebody should know of the adapter though it is no error.</param>
    /// <exception cref="InvalidDataException">Files are missing or damaged, the adapter is not one of this model, or
    /// the devices are too small.</exception>
    public static TunedModel Load(
        TunedPath path,
        ScalarType type,
        Func<ModelConfig, DevicePlan> plan,
        Action<string>? note = null
    )
    {
        var model = ModelFolder.Load(path.ModelFolder, type, plan);
        try
        {
            return new TunedModel(
                path,
                model,
                path.AdapterFolder is null ? null : AdapterFolder.Load(path.AdapterFolder, model, note: note)
            );
        }
        catch
        {
            model.Dispose();
            throw;
        }
    }

    /// <summary>Loads adapters that rows of a pass may have, each its own.</summary>
    /// <param name="named">Names for requests, and folders or hub ids.</param>
    /// <exception cref="ArgumentException">A name is given twice.</exception>
    /// <exception cref="InvalidDataException">An adapter is attached to the model already; or one is damaged, not one
    /// of this model, or cannot be served beside others.</exception>
    public void Serve(IEnumerable<KeyValuePair<string, string>> named)
    {
        if (Adapter is not null)
        {
            throw new InvalidDataException(
                $"{Path.AdapterFolder}: is an adapter, so no other adapters can be served beside it. Pass "
                    + $"the folder of its base model ({Path.ModelFolder}), and add this adapter to the others."
            );
        }

        Served ??= new ServedAdapters(Model);
        foreach (var (name, folder) in named)
        {
            Served.Load(name, ModelReference.Resolve(folder));
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Served?.Dispose();
        Adapter?.Dispose();
        Model.Dispose();
    }
}
