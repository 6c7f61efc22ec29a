using System.Buffers.Binary;
using GlmTune.Kernels.Definitions;
using GlmTune.Weights;
using GlmTune.Weights.CompressedTensors;
using static TorchSharp.torch;

namespace GlmTune.Model.Prequantized;

/// <summary>A weight in symmetric 4-bit integers as compressed-tensors packs them: see <see cref="Int4Groups"/>.
/// </summary>
internal sealed class PackedTensor : QuantizedTensor
{
    private readonly StoredTensor words;
    private readonly StoredTensor scales;

    private PackedTensor(WeightSlice slice, StoredTensor words, StoredTensor scales, StoredTensor shape)
        : base(slice, [words, scales, shape]) => (this.words, this.scales) = (words, scales);

    /// <summary>The name of the packed integers of a weight.</summary>
    public static string NameOf(string weight) => $"{weight}_packed";

    /// <summary>As <see cref="QuantizedTensor.FindAny"/>.</summary>
    public static PackedTensor? Find(WeightFiles files, WeightSlice slice, List<string> problems)
    {
        if (files.Find(NameOf(slice.Name)) is not { } words)
        {
            return null;
        }

        foreach (var ending in (string[])["_zero_point", "_g_idx"])
        {
            if (files.Find(slice.Name + ending) is { } more)
            {
                problems.Add($"'{more.Name}': only symmetric integers in the order of the columns are read.");
            }
        }

        var (scales, shape) = (files.Find($"{slice.Name}_scale"), files.Find($"{slice.Name}_shape"));
        if (scales is null || shape is null)
        {
            problems.Add($"there is no '{slice.Name}_{(scales is null ? "scale" : "shape")}'.");
            return null;
        }

        var (rows, columns) = (slice.Rows, slice.Parameter.Shape[1]);
        if (
            words.Type != ElementType.I32
            || columns % Int4Groups.PerWord != 0
            || !words.Shape.SequenceEqual([rows, columns / Int4Groups.PerWord])
        )
        {
            problems.Add($"{Describe(words)}; expected I32 for 4-bit integers of [{rows}, {columns}].");
        }

        if (
            !IsFloat(scales.Type)
            || scales.Shape is not [var first, var groups]
            || first != rows
            || groups <= 0
            || columns % groups != 0
            || columns / groups % 2 != 0
        )
        {
            problems.Add($"{Describe(scales)}; expected scales of groups of the {rows} rows.");
        }

        if (!ReadShape(shape).SequenceEqual(slice.Shape))
        {
            problems.Add($"'{shape.Name}' says [{string.Join(", ", ReadShape(shape))}]; expected [{rows}, {columns}].");
        }

        return new PackedTensor(slice, words, scales, shape);
    }

    /// <inheritdoc/>
    protected override FrozenMatrix Load(Device device, ref bool finite)
    {
        var factors = ReadScales(scales, ref finite).view(-1);
        // Words are little-endian: the two integers of a byte follow one another, the first in the low half.
        var bytes = empty([words.ByteCount], ScalarType.Byte, CPU);
        words.CopyTo(Kernels.Native.TensorAddress.Of(bytes), words.ByteCount);
        return new LevelMatrix(
            Rows,
            Columns,
            Keep(bytes, device),
            Keep(factors, device),
            [.. Enumerable.Range(-8, 16).Select(level => (float)level)],
            (int)(Columns / scales.Shape[1]),
            highFirst: false
        );
    }

    private static long[] ReadShape(StoredTensor shape)
    {
        if (shape.Type is not (ElementType.I64 or ElementType.I32) || shape.Spec.ElementCount != 2)
        {
            return [];
        }

        Span<byte> bytes = stackalloc byte[(int)shape.ByteCount];
        shape.CopyTo(bytes);
        return shape.Type == ElementType.I64
            ? [BinaryPrimitives.ReadInt64LittleEndian(bytes), BinaryPrimitives.ReadInt64LittleEndian(bytes[8..])]
            : [BinaryPrimitives.ReadInt32LittleEndian(bytes), BinaryPrimitives.ReadInt32LittleEndian(bytes[4..])];
    }
}
