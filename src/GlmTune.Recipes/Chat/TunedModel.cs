using GlmTune.Kernels.Native;
using GlmTune.Model;
using GlmTune.Model.Adapters;
using GlmTune.Recipes.Models;
using static TorchSharp.torch;

namespace GlmTune.Recipes.Chat;

/// <summary>A model in memory, with the adapter that it was tuned with if there is one.</summary>
internal sealed class TunedModel : IDisposable
{
    private TunedModel(TunedPath path, DecoderModel model, IAdapter? adapter) =>
        (Path, Model, Adapter) = (path, model, adapter);

    /// <summary>Where it was loaded from.</summary>
    public TunedPath Path { get; }

    /// <summary>The model, with its adapter attached.</summary>
    public DecoderModel Model { get; }

    /// <summary>The adapter; null for a plain model.</summary>
    public IAdapter? Adapter { get; }

    /// <summary>The adapters served side by side; null if there are none.</summary>
    public ServedAdapters? Served { get; private set; }

    /// <summary>Makes the checks of loading that need no weights: configuration, names and shapes.</summary>
    /// <param name="path">The model, and its adapter if any.</param>
    /// <exception cref="InvalidDataException">Files are missing or damaged, or the adapter is not one of this
    /// model.</exception>
    public static void Check(TunedPath path)
    {
        NativeRuntime.Load();
        foreach (var folder in path.Folders)
        {
            LoadedFolder.Verify(folder, hashes: false);
        }

        using var model = ModelFolder.LayOut(path.ModelFolder);
        if (path.AdapterFolder is { } adapter)
        {
            AdapterFolder.Check(adapter, model);
        }
    }

    /// <summary>Loads a model and its adapter.</summary>
    /// <param name="path">The model, or the adapter and its base.</param>
    /// <param name="type">Type to compute in.</param>
    /// <param name="device">The device to load to.</param>
    /// <param name="note">Called with notes about the folders for the user.</param>
    /// <param name="quantization">How the weights of the layers are stored; null: in <paramref name="type"/>, or as in
    /// the files.</param>
    /// <param name="keepQuantized">Whether weights that the files hold in few bits stay so.</param>
    /// <exception cref="InvalidDataException">Files are missing or damaged, or the adapter does not belong to this
    /// model.</exception>
    public static TunedModel Load(
        TunedPath path,
        ScalarType type,
        Device device,
        Action<string>? note = null,
        Quantization? quantization = null,
        bool keepQuantized = true
    ) => Load(path, type, config => new DevicePlan((device, config.LayerCount)), note, quantization, keepQuantized);

    /// <summary>Loads a model and its adapter, with each layer on its own device.</summary>
    /// <param name="path">The model, or the adapter and its base.</param>
    /// <param name="type">Type to compute in.</param>
    /// <param name="plan">The device of each layer.</param>
    /// <param name="note">Called with notes about the folders for the user.</param>
    /// <param name="quantization">How the weights of the layers are stored; null: in <paramref name="type"/>, or as in
    /// the files.</param>
    /// <param name="keepQuantized">Whether weights that the files hold in few bits stay so.</param>
    /// <exception cref="InvalidDataException">Files are missing or damaged, the adapter does not belong to this model,
    /// or the devices have too little memory.</exception>
    public static TunedModel Load(
        TunedPath path,
        ScalarType type,
        Func<ModelConfig, DevicePlan> plan,
        Action<string>? note = null,
        Quantization? quantization = null,
        bool keepQuantized = true
    )
    {
        foreach (var folder in path.Folders)
        {
            LoadedFolder.Verify(folder, hashes: true, note);
        }

        CheckBase(path, note);
        var model = ModelFolder.Load(
            path.ModelFolder,
            type,
            plan,
            quantization: quantization,
            keepQuantized: keepQuantized
        );
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

    /// <summary>Loads adapters that can be used per row of a pass.</summary>
    /// <param name="named">Folders or Hub ids, by the names used in requests.</param>
    /// <param name="note">Called with notes about the folders for the user.</param>
    /// <param name="most">Most LoRA adapters on the device at once; null: all.</param>
    /// <exception cref="ArgumentException">A name is used twice.</exception>
    /// <exception cref="InvalidDataException">The model already has an adapter attached; or an adapter is damaged, does
    /// not belong to this model, or cannot be served beside others.</exception>
    public void Serve(IEnumerable<KeyValuePair<string, string>> named, Action<string>? note = null, int? most = null)
    {
        if (Adapter is not null)
        {
            throw new InvalidDataException(
                $"{Path.AdapterFolder}: is an adapter, so no other adapters can be served beside it. Pass "
                    + $"the folder of its base model ({Path.ModelFolder}), and add this adapter to the others."
            );
        }

        Served ??= new ServedAdapters(Model, most);
        foreach (var (name, folder) in named)
        {
            var adapter = ModelReference.Resolve(folder);
            LoadedFolder.Verify(adapter, hashes: true, note);
            CheckBase(new TunedPath(Path.ModelFolder, adapter), note);
            Served.Load(name, adapter);
        }
    }

    private static void CheckBase(TunedPath path, Action<string>? note)
    {
        if (
            note is not null
            && path.AdapterFolder is { } adapter
            && BaseCheck.FindDifference(adapter, path.ModelFolder) is { } difference
        )
        {
            note(difference);
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
