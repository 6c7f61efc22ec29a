using GlmTune.Model.Layers;
using GlmTune.Weights;
using static TorchSharp.torch;

namespace GlmTune.Model;

/// <summary>A model whose weights stay in its files: they are read parameter by parameter, or in pieces, when they are
/// needed.</summary>
internal sealed class StoredModel : IDisposable
{
    private readonly WeightFiles files;
    private readonly ILookup<Parameter, (WeightSlice Slice, StoredTensor Stored)> parts;

    private StoredModel(WeightFiles files, DecoderModel model)
    {
        (this.files, Model) = (files, model);
        parts = ModelFolder.MatchWeights(model, files).ToLookup(part => part.Slice.Parameter);
        Type = files.Tensors.First().Type;
    }

    /// <summary>The model in float32 on the CPU; none of its weights are in memory.</summary>
    public DecoderModel Model { get; }

    /// <summary>Type of the first stored tensor.</summary>
    public ElementType Type { get; }

    /// <summary>Opens a model folder and checks configuration, names and shapes; no weights are read.</summary>
    /// <exception cref="InvalidDataException">Files are missing, damaged, unsupported or inconsistent.</exception>
    public static StoredModel Open(string folder)
    {
        var config = ModelConfig.Read(folder);
        var files = WeightFiles.Open(folder);
        DecoderModel? model = null;
        try
        {
            HeaderCheck.Check(config, files);
            model = config.NewModel(ScalarType.Float32, CPU);
            return new StoredModel(files, model);
        }
        catch
        {
            model?.Dispose();
            files.Dispose();
            throw;
        }
    }

    /// <summary>Reads all values of a parameter into memory.</summary>
    /// <param name="parameter">A base parameter of <see cref="Model"/>.</param>
    /// <exception cref="InvalidDataException">Values are not finite, or a file has become shorter.</exception>
    public void Load(Parameter parameter)
    {
        using var scope = NewDisposeScope();
        parameter.Value = empty(parameter.Shape, parameter.Type, parameter.Device);
        foreach (var (slice, stored) in parts[parameter])
        {
            StoredTensors.CopyTo(stored, parameter.Value.narrow(0, slice.FirstRow, slice.Rows));
        }

        FiniteWeights.Throw(
            files.Path,
            FiniteWeights.Find(
                [parameter],
                each => parts[each].Select(part => (part.Stored, part.Slice.FirstRow, part.Slice.Rows))
            )
        );
    }

    /// <summary>Reads some rows of a parameter, without reading others.</summary>
    /// <param name="parameter">A base parameter of <see cref="Model"/>.</param>
    /// <param name="firstRow">Index of the first row.</param>
    /// <param name="target">[rows, …], contiguous; any type.</param>
    /// <exception cref="InvalidDataException">A file has become shorter.</exception>
    public void ReadRows(Parameter parameter, long firstRow, Tensor target)
    {
        using var scope = NewDisposeScope();
        var (end, width) = (firstRow + target.shape[0], parameter.Count / parameter.Shape[0]);
        foreach (var (slice, stored) in parts[parameter])
        {
            var (from, to) = (Math.Max(firstRow, slice.FirstRow), Math.Min(end, slice.FirstRow + slice.Rows));
            if (from < to)
            {
                StoredTensors.CopyTo(
                    stored,
                    (from - slice.FirstRow) * width,
                    target.narrow(0, from - firstRow, to - from).flatten()
                );
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Model.Dispose();
        files.Dispose();
    }
}
