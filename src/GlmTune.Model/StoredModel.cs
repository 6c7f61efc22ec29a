using GlmTune.Model.Layers;
using GlmTune.Weights;
using static TorchSharp.torch;

namespace GlmTune.Model;

/// <summary>A model whose weights stay in its files: they are read parameter by parameter, or in pieces, when they are
/// needed.</summary>
internal sealed class StoredModel : IDisposable
{
    private readonly WeightFiles files;
    private readonly ILookup<Parameter, StoredWeight> parts;

    private StoredModel(WeightFiles files, DecoderModel model)
    {
        (this.files, Model) = (files, model);
        var stored = WeightMatch.Find(model, files);
        parts = stored.ToLookup(part => part.Slice.Parameter);
        Type = stored.Select(part => part.Plain).OfType<StoredTensor>().First().Type;
    }

    /// <summary>The model in float32 on the CPU; none of its weights are in memory.</summary>
    public DecoderModel Model { get; }

    /// <summary>Type of the first stored tensor that is not quantized.</summary>
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
        List<string> notFinite = [];
        foreach (var (slice, stored, quantized) in parts[parameter])
        {
            var rows = parameter.Value.narrow(0, slice.FirstRow, slice.Rows);
            if (stored is not null)
            {
                StoredTensors.CopyTo(stored, rows);
                continue;
            }

            using var matrix = quantized!.Load(CPU, notFinite);
            matrix.WriteTo(rows);
        }

        if (!IsQuantized(parameter))
        {
            notFinite.AddRange(
                FiniteWeights.Find(
                    [parameter],
                    each => parts[each].Select(part => (part.Plain!, part.Slice.FirstRow, part.Slice.Rows))
                )
            );
        }

        FiniteWeights.Throw(files.Path, notFinite);
    }

    /// <summary>Whether some of a parameter's rows are quantized: they can be read only as a whole, by
    /// <see cref="Load"/>.</summary>
    /// <param name="parameter">A base parameter of <see cref="Model"/>.</param>
    public bool IsQuantized(Parameter parameter) => parts[parameter].Any(part => part.Quantized is not null);

    /// <summary>Reads some rows of a parameter, without reading others.</summary>
    /// <param name="parameter">A base parameter of <see cref="Model"/>.</param>
    /// <param name="firstRow">Index of the first row.</param>
    /// <param name="target">[rows, …], contiguous; any type.</param>
    /// <exception cref="InvalidDataException">A file has become shorter.</exception>
    public void ReadRows(Parameter parameter, long firstRow, Tensor target)
    {
        using var scope = NewDisposeScope();
        var (end, width) = (firstRow + target.shape[0], parameter.Count / parameter.Shape[0]);
        foreach (var (slice, plain, _) in parts[parameter])
        {
            var (from, to) = (Math.Max(firstRow, slice.FirstRow), Math.Min(end, slice.FirstRow + slice.Rows));
            if (from < to)
            {
                var stored = plain ?? throw new InvalidOperationException($"'{slice.Name}' is quantized.");
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
