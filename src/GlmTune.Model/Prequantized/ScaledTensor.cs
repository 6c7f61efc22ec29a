using GlmTune.Kernels.Definitions;
using GlmTune.Weights;
using static TorchSharp.torch;

namespace GlmTune.Model.Prequantized;

/// <summary>A weight in fp8 or 8-bit integers with scales: one for all, one for each row, or, in fp8, one for each
/// tile.</summary>
/// <remarks>The value is the stored number times its scale, also where the scale is called <c>weight_scale_inv</c>.
/// Scales of inputs are not used: products take inputs in the model's type.</remarks>
internal sealed class ScaledTensor : QuantizedTensor
{
    private readonly StoredTensor codes;
    private readonly StoredTensor scales;
    private readonly (int Rows, int Columns)? tile;

    private ScaledTensor(
        WeightSlice slice,
        StoredTensor codes,
        StoredTensor scales,
        (int Rows, int Columns)? tile,
        StoredTensor? inputScale
    )
        : base(slice, [.. new[] { codes, scales, inputScale }.OfType<StoredTensor>()]) =>
        (this.codes, this.scales, this.tile) = (codes, scales, tile);

    /// <summary>As <see cref="QuantizedTensor.FindAny"/>.</summary>
    public static ScaledTensor? Find(
        WeightFiles files,
        WeightSlice slice,
        StoredQuantization quantization,
        List<string> problems
    )
    {
        if (files.Find(slice.Name) is not { Type: ElementType.F8_E4M3 or ElementType.I8 } codes)
        {
            return null;
        }

        var scales = files.Find($"{slice.Name}_scale") ?? files.Find($"{slice.Name}_scale_inv");
        if (scales is null)
        {
            problems.Add($"it is {codes.Type}, but there is no '{slice.Name}_scale'.");
            return null;
        }

        if (files.Find($"{slice.Name}_zero_point") is { } zero)
        {
            problems.Add($"'{zero.Name}': only symmetric integers are read.");
        }

        if (!codes.Shape.SequenceEqual(slice.Shape))
        {
            problems.Add($"{Describe(codes)}; expected [{string.Join(", ", slice.Shape)}].");
        }

        var (rows, columns) = (slice.Rows, slice.Parameter.Shape[1]);
        var count = scales.Spec.ElementCount;
        var simple = count == 1 || (count == rows && scales.Shape is [_] or [_, 1]);
        var tile = simple || codes.Type == ElementType.I8 ? null : quantization.Tile;
        if (
            !IsFloat(scales.Type)
            || !(
                simple
                || (
                    tile is { } size
                    && scales.Shape.SequenceEqual([Parts(rows, size.Rows), Parts(columns, size.Columns)])
                )
            )
        )
        {
            problems.Add(
                $"{Describe(scales)}; expected one scale, one for each of {rows} rows"
                    + (tile is { } of ? $", or one for each tile of {of.Rows} × {of.Columns}." : ".")
            );
        }

        var input = files.Find($"{slice.Name[..^".weight".Length]}.input_scale");
        return new ScaledTensor(slice, codes, scales, tile, input);
    }

    /// <inheritdoc/>
    protected override FrozenMatrix Load(Device device, ref bool finite)
    {
        var factors = ReadScales(scales, ref finite);
        if (tile is { } size)
        {
            return new Fp8TileMatrix(ReadFp8(device, ref finite), Keep(factors, device), size.Rows, size.Columns);
        }

        var rows = factors.view(-1).expand(Rows);
        return codes.Type == ElementType.I8
            ? new Int8Matrix(Keep(StoredTensors.Read(codes), device), Keep(rows, device))
            : Fp8Matrix.ByRows(ReadFp8(device, ref finite), Keep(rows.view(1, -1), device));
    }

    private static long Parts(long whole, int size) => (whole + size - 1) / size;

    // The type's only numbers that are not finite are the two with all bits set but the sign.
    private Tensor ReadFp8(Device device, ref bool finite)
    {
        var bytes = empty(codes.Shape, ScalarType.Byte, CPU);
        codes.CopyTo(Kernels.Native.TensorAddress.Of(bytes), codes.ByteCount);
        finite &= !bytes.bitwise_or(tensor((byte)128)).eq(tensor((byte)255)).any().item<bool>();
        return Fp8.OfBytes(bytes.to(device)).DetachFromDisposeScope();
    }
}
