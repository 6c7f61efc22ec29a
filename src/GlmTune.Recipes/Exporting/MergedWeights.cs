using System.Globalization;
using GlmTune.Kernels.Native;
using GlmTune.Model;
using GlmTune.Model.Adapters;
using GlmTune.Recipes.Chat;
using GlmTune.Recipes.Models;
using GlmTune.Weights;
using static TorchSharp.torch;

namespace GlmTune.Recipes.Exporting;

/// <summary>The weights of a model, with its adapter merged if it has one, read from its files one after the other and
/// a few rows at a time.</summary>
/// <remarks>A merged weight is the float32 sum; only such weights, and those that the files hold quantized, are in
/// memory as a whole, one at a time.</remarks>
internal sealed class MergedWeights : IDisposable
{
    private const long ValuesAtATime = 1 << 24;

    private readonly StoredModel stored;
    private readonly Lora? lora;

    /// <summary>Opens the files, after all checks that need no weights.</summary>
    /// <param name="path">The model, and its adapter if any.</param>
    /// <exception cref="InvalidDataException">Files are missing, damaged or inconsistent; or the adapter cannot be
    /// merged.</exception>
    public MergedWeights(TunedPath path)
    {
        NativeRuntime.Load();
        MergeAdapter.CheckKind(path);
        stored = StoredModel.Open(path.ModelFolder);
        try
        {
            lora = path.AdapterFolder is { } adapter ? AdapterFolder.LoadLora(adapter, stored.Model) : null;
            lora?.CheckMergeable(stored.Model);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>The model; none of its weights are in memory.</summary>
    public DecoderModel Model => stored.Model;

    /// <summary>Type of the first stored tensor.</summary>
    public ElementType Type => stored.Type;

    /// <summary>Reads weights.</summary>
    /// <param name="slices">The weights, each with something of the caller's.</param>
    /// <param name="read">Called with some rows of a weight, in order: float32 [rows, …], contiguous, on the CPU,
    /// valid during the call.</param>
    /// <exception cref="InvalidDataException">A merged weight is not finite, or is not the expected sum; or a file has
    /// become shorter.</exception>
    public void Read<T>(IEnumerable<(WeightSlice Slice, T With)> slices, Action<WeightSlice, T, Tensor> read)
    {
        foreach (var parts in slices.GroupBy(pair => pair.Slice.Parameter))
        {
            using var scope = NewDisposeScope();
            var parameter = parts.Key;
            if (lora?.Changes(parameter) == true || stored.IsQuantized(parameter))
            {
                stored.Load(parameter);
            }

            // Modules that an adapter saves whole are in memory since it was loaded.
            var value = lora?.MergedValue(parameter) ?? (parameter.IsLoaded ? parameter.Value : null);
            foreach (var (slice, with) in parts)
            {
                ReadRows(slice, value, rows => read(slice, with, rows));
            }

            parameter.Release();
        }
    }

    /// <summary>Throws if values cannot be written.</summary>
    /// <param name="name">Name of the tensor.</param>
    /// <param name="values">Some of its values, float32.</param>
    /// <param name="most">The largest magnitude that the type holds.</param>
    /// <param name="type">Name of the type.</param>
    /// <param name="advice">What to do if values are too large.</param>
    /// <exception cref="InvalidDataException">Values are not finite, or too large for the type.</exception>
    public static void CheckRange(string name, Tensor values, double most, string type, string advice)
    {
        using var scope = NewDisposeScope();
        var largest = values.abs().max().item<float>();
        if (!(largest <= most))
        {
            throw new InvalidDataException(
                float.IsFinite(largest)
                    ? string.Create(
                        CultureInfo.InvariantCulture,
                        $"'{name}' has values up to {largest:G3}, which {type} cannot hold. Nothing was written. "
                            + $"{advice}"
                    )
                    : $"'{name}' has values that are not finite. Nothing was written. Did the training that wrote them "
                        + "diverge?"
            );
        }
    }

    /// <summary>Unloads the adapter, and closes the model's files.</summary>
    public void Dispose()
    {
        lora?.Dispose();
        stored.Dispose();
    }

    private void ReadRows(WeightSlice slice, Tensor? value, Action<Tensor> read)
    {
        var width = slice.Parameter.Count / slice.Parameter.Shape[0];
        var most = Math.Min(slice.Rows, Math.Max(1, ValuesAtATime / width));
        using var values = empty([most, .. slice.Shape[1..]], ScalarType.Float32, CPU);
        for (long first = 0, rows; first < slice.Rows; first += rows)
        {
            using var scope = NewDisposeScope();
            rows = Math.Min(most, slice.Rows - first);
            var piece = values.narrow(0, 0, rows);
            if (value is null)
            {
                stored.ReadRows(slice.Parameter, slice.FirstRow + first, piece);
            }
            else
            {
                piece.copy_(value.narrow(0, slice.FirstRow + first, rows));
            }

            read(piece);
        }
    }
}
