using GlmTune.Kernels.Definitions;
using GlmTune.Weights;
using static TorchSharp.torch;

namespace GlmTune.Model.Prequantized;

/// <summary>A matrix that files hold as codes with their scales: its tensors are found and checked, and nothing but
/// small descriptions has been read.</summary>
/// <param name="slice">The rows of a parameter that it is.</param>
/// <param name="stored">The tensors that it is read from; the first is the one of the codes.</param>
internal abstract class QuantizedTensor(WeightSlice slice, IReadOnlyList<StoredTensor> stored)
{
    /// <summary>The tensors that it is read from.</summary>
    public IReadOnlyList<StoredTensor> Stored => stored;

    /// <summary>Number of output features.</summary>
    protected long Rows => slice.Rows;

    /// <summary>Number of input features.</summary>
    protected long Columns => slice.Parameter.Shape[1];

    /// <summary>Reads it, keeping codes and scales as they are.</summary>
    /// <param name="device">Where to.</param>
    /// <param name="problems">Receives a description if values are not finite.</param>
    /// <returns>The matrix, owned by the caller.</returns>
    /// <exception cref="InvalidDataException">A file has become shorter since it was opened.</exception>
    public FrozenMatrix Load(Device device, List<string> problems)
    {
        using var scope = NewDisposeScope();
        var finite = true;
        var matrix = Load(device, ref finite);
        if (!finite)
        {
            problems.Add($"{Path.GetFileName(stored[0].File.Path)}: '{stored[0].Name}': values are NaN or infinite.");
        }

        return matrix;
    }

    /// <summary>The same; tensors that stay are detached from the current dispose scope.</summary>
    /// <param name="device">Where to.</param>
    /// <param name="finite">Set to false if values are not finite.</param>
    protected abstract FrozenMatrix Load(Device device, ref bool finite);

    /// <summary>A tensor of scales in float32, on the CPU.</summary>
    protected static Tensor ReadScales(StoredTensor scales, ref bool finite)
    {
        var values = StoredTensors.Read(scales).to_type(ScalarType.Float32);
        finite &= values.isfinite().all().item<bool>();
        return values;
    }

    /// <summary>A tensor on a device, beyond the current dispose scope.</summary>
    protected static Tensor Keep(Tensor values, Device device) =>
        values.to(device).contiguous().DetachFromDisposeScope();

    /// <summary>Finds how a slice is stored.</summary>
    /// <param name="files">The files.</param>
    /// <param name="slice">Rows of a parameter.</param>
    /// <param name="quantization">How the files are quantized.</param>
    /// <param name="problems">Receives what is wrong.</param>
    /// <returns>Null: as a plain tensor, or not at all, or there is a problem.</returns>
    public static QuantizedTensor? FindAny(
        WeightFiles files,
        WeightSlice slice,
        StoredQuantization quantization,
        List<string> problems
    )
    {
        if (slice.Parameter.Shape.Length != 2)
        {
            return null;
        }

        var found = new List<string>();
        var tensor =
            PackedTensor.Find(files, slice, found)
            ?? (QuantizedTensor?)BitsAndBytesTensor.Find(files, slice, found)
            ?? ScaledTensor.Find(files, slice, quantization, found);
        problems.AddRange(found.Select(problem => $"'{slice.Name}' ({quantization.Name}): {problem}"));
        return found.Count == 0 ? tensor : null;
    }

    /// <summary>Whether files hold a weight of this name, in whatever form.</summary>
    public static bool Has(WeightFiles files, string name) =>
        files.Find(name) is not null || files.Find(PackedTensor.NameOf(name)) is not null;

    /// <summary>Type and shape of a tensor, for messages.</summary>
    protected static string Describe(StoredTensor tensor) => $"'{tensor.Name}' is {tensor.Spec}";

    /// <summary>Whether scales can have a type.</summary>
    protected static bool IsFloat(ElementType type) => type is ElementType.F32 or ElementType.BF16 or ElementType.F16;
}
