using GlmTune.Model.Layers;
using GlmTune.Weights;
using static TorchSharp.torch;

namespace GlmTune.Model;

/// <summary>Saves a model parameter by parameter, so that only one needs to be in memory: <c>config.json</c> and
/// safetensors, in parts if large.</summary>
internal sealed class ModelWriter : IDisposable
{
    private readonly ModelConfig config;
    private readonly WeightNames names;
    private readonly string folder;
    private readonly CheckpointLayout layout;
    private readonly ScalarType type;
    private readonly ShardedWriter writer;

    /// <summary>Plans the files.</summary>
    /// <param name="model">The model; its weights need not be in memory. Adapters are not saved.</param>
    /// <param name="folder">An existing folder.</param>
    /// <param name="layout">Naming of the tensors.</param>
    /// <param name="type">Type to store.</param>
    /// <param name="maxPartBytes">Maximum bytes of tensors per file.</param>
    public ModelWriter(
        DecoderModel model,
        string folder,
        CheckpointLayout layout,
        ScalarType type,
        long maxPartBytes = ShardedWriter.DefaultPartBytes
    )
    {
        (config, names) = (model.Config, model.Names);
        (this.folder, this.layout, this.type) = (folder, layout, type);
        writer = new ShardedWriter(
            folder,
            [.. model.Names.Weights(model, layout).Select(slice => StoredTensors.Spec(slice.Name, type, slice.Shape))],
            maxPartBytes
        );
    }

    /// <summary>Writes one parameter.</summary>
    /// <param name="parameter">A base parameter of the model; each exactly once, in any order.</param>
    /// <param name="value">Its values, in its shape; any device and type.</param>
    public void Write(Parameter parameter, Tensor value)
    {
        foreach (var slice in names.Slices(parameter, layout))
        {
            using var rows = value.narrow(0, slice.FirstRow, slice.Rows);
            StoredTensors.WithBytes(rows, type, (address, bytes) => writer.Write(slice.Name, address, bytes));
        }
    }

    /// <summary>Finishes the weights and writes the configuration.</summary>
    /// <exception cref="InvalidOperationException">A parameter was not written.</exception>
    public void Complete()
    {
        writer.Complete();
        ModelFolder.WriteConfig(config, folder, layout, type);
    }

    /// <summary>Closes the files; removes incomplete ones.</summary>
    public void Dispose() => writer.Dispose();
}
