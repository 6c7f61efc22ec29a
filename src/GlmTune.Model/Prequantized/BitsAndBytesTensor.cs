using System.Text.Json;
using GlmTune.Files.Json;
using GlmTune.Kernels;
using GlmTune.Kernels.Definitions;
using GlmTune.Weights;
using static TorchSharp.torch;

namespace GlmTune.Model.Prequantized;

/// <summary>A weight in bitsandbytes' 4 bits: codes of the elements in row-major order, two in a byte; a table of
/// sixteen levels; and the largest magnitude of each block, which may be quantized itself (double
/// quantization).</summary>
/// <remarks>In the usual form (nf4, blocks of 64, double quantization) it becomes an <see cref="Nf4Matrix"/>, which is
/// laid out in the same way; in any other a <see cref="LevelMatrix"/>. Codes and scales are those of the file in both.
/// Source: the bitsandbytes library's quantization state.</remarks>
internal sealed class BitsAndBytesTensor : QuantizedTensor
{
    private const int DescriptionBytes = 1 << 16;

    private readonly StoredTensor codes;
    private readonly Parts parts;
    private readonly Description description;

    private BitsAndBytesTensor(WeightSlice slice, StoredTensor codes, Parts parts, Description description)
        : base(slice, [codes, .. parts.All]) =>
        (this.codes, this.parts, this.description) = (codes, parts, description);

    /// <summary>As <see cref="QuantizedTensor.FindAny"/>.</summary>
    public static BitsAndBytesTensor? Find(WeightFiles files, WeightSlice slice, List<string> problems)
    {
        if (files.Find(slice.Name) is not { Type: ElementType.U8 } codes)
        {
            return null;
        }

        StoredTensor? Part(string ending) => files.Find($"{slice.Name}.{ending}");
        var state = Part("quant_state.bitsandbytes__nf4") ?? Part("quant_state.bitsandbytes__fp4");
        if (state is null || Part("absmax") is not { } largest || Part("quant_map") is not { } levels)
        {
            var missing =
                state is null ? "quant_state.bitsandbytes__nf4"
                : Part("absmax") is null ? "absmax"
                : "quant_map";
            problems.Add($"it is U8, but there is no '{slice.Name}.{missing}'.");
            return null;
        }

        if (ReadDescription(state, problems) is not { } description)
        {
            return null;
        }

        var parts = new Parts(state, largest, levels, Part("nested_absmax"), Part("nested_quant_map"));
        Check(slice, codes, parts, description, problems);
        return new BitsAndBytesTensor(slice, codes, parts, description);
    }

    /// <inheritdoc/>
    protected override FrozenMatrix Load(Device device, ref bool finite)
    {
        var bytes = Keep(StoredTensors.Read(codes).view(-1), device);
        var levels = Floats(parts.Levels, ref finite);
        if (parts is not { NestedLargest: { } nestedLargest, NestedLevels: { } nestedLevels })
        {
            return Level(bytes, Keep(ReadScales(parts.Largest, ref finite).view(-1), device), levels);
        }

        var scaleCodes = StoredTensors.Read(parts.Largest).view(-1);
        var groupScales = ReadScales(nestedLargest, ref finite).view(-1);
        var scaleMap = ReadScales(nestedLevels, ref finite);
        if (
            description is { BlockSize: Nf4Matrix.BlockSize, NestedBlockSize: Nf4Matrix.GroupSize }
            && Rows * Columns % Nf4Matrix.BlockSize == 0
            && levels.SequenceEqual(Nf4Matrix.Levels)
        )
        {
            return new Nf4Matrix(
                Rows,
                Columns,
                bytes,
                Keep(scaleCodes, device),
                Keep(groupScales, device),
                Keep(tensor([description.Offset]), device),
                Keep(scaleMap, device)
            );
        }

        var scales = scaleMap
            .index_select(0, scaleCodes.to_type(ScalarType.Int32))
            .mul_(groupScales.repeat_interleave(description.NestedBlockSize).narrow(0, 0, scaleCodes.numel()))
            .AddInPlace(tensor(description.Offset));
        return Level(bytes, Keep(scales, device), levels);
    }

    private LevelMatrix Level(Tensor bytes, Tensor scales, float[] levels) =>
        new(Rows, Columns, bytes, scales, levels, description.BlockSize, highFirst: true);

    private static float[] Floats(StoredTensor stored, ref bool finite) =>
        ReadScales(stored, ref finite).data<float>().ToArray();

    private static void Check(
        WeightSlice slice,
        StoredTensor codes,
        Parts parts,
        Description description,
        List<string> problems
    )
    {
        var elements = slice.Rows * slice.Parameter.Shape[1];
        void Expect(StoredTensor tensor, ElementType type, long count)
        {
            if (tensor.Type != type || tensor.Spec.ElementCount != count)
            {
                problems.Add($"{Describe(tensor)}; expected {count} values of {type}.");
            }
        }

        if (!description.Shape.SequenceEqual(slice.Shape))
        {
            problems.Add(
                $"'{parts.State.Name}' says [{string.Join(", ", description.Shape)}]; expected "
                    + $"[{string.Join(", ", slice.Shape)}]."
            );
            return;
        }

        var blocks = (elements + description.BlockSize - 1) / description.BlockSize;
        Expect(codes, ElementType.U8, (elements + 1) / 2);
        Expect(parts.Levels, ElementType.F32, 16);
        if (parts is { NestedLargest: { } largest, NestedLevels: { } levels } && description.NestedBlockSize > 0)
        {
            Expect(parts.Largest, ElementType.U8, blocks);
            Expect(largest, ElementType.F32, (blocks + description.NestedBlockSize - 1) / description.NestedBlockSize);
            Expect(levels, ElementType.F32, 256);
        }
        else if (parts.NestedLargest is null && parts.NestedLevels is null && description.NestedBlockSize == 0)
        {
            Expect(parts.Largest, ElementType.F32, blocks);
        }
        else
        {
            problems.Add("its double quantization is incomplete.");
        }
    }

    private static Description? ReadDescription(StoredTensor state, List<string> problems)
    {
        if (state.Type != ElementType.U8 || state.ByteCount > DescriptionBytes)
        {
            problems.Add($"{Describe(state)}; expected JSON text of at most {DescriptionBytes} bytes.");
            return null;
        }

        var bytes = new byte[state.ByteCount];
        state.CopyTo(bytes);
        JsonElement json;
        try
        {
            json = JsonFile.Parse(bytes, $"'{state.Name}'", JsonValueKind.Object);
        }
        catch (InvalidDataException error)
        {
            problems.Add(error.Message);
            return null;
        }

        // An even number of at most so many elements, as the library has them.
        int Size(string key) =>
            json.TryGetProperty(key, out var value) && value.TryGetInt32(out var size) && size is > 0 and <= 1 << 16
                ? size
                : 0;
        var shape =
            json.TryGetProperty("shape", out var sizes)
            && sizes.ValueKind == JsonValueKind.Array
            && sizes.GetArrayLength() <= 8
                ? sizes.EnumerateArray().Select(size => size.TryGetInt64(out var number) ? number : -1).ToArray()
                : [];
        var offset =
            json.TryGetProperty("nested_offset", out var number) && number.ValueKind == JsonValueKind.Number
                ? (float)number.GetDouble()
                : 0;
        var description = new Description(shape, Size("blocksize"), Size("nested_blocksize"), offset);
        if (description.BlockSize == 0 || description.BlockSize % 2 != 0 || !float.IsFinite(offset))
        {
            problems.Add($"'{state.Name}' says 'blocksize' {description.BlockSize}; expected an even number above 0.");
            return null;
        }

        return description;
    }

    // Sizes of the weight, of a block and of a group of blocks' scales (0: they are not quantized), and the mean of
    // the scales.
    private sealed record Description(long[] Shape, int BlockSize, int NestedBlockSize, float Offset);

    private sealed record Parts(
        StoredTensor State,
        StoredTensor Largest,
        StoredTensor Levels,
        StoredTensor? NestedLargest,
        StoredTensor? NestedLevels
    )
    {
        public IEnumerable<StoredTensor> All =>
            new[] { State, Largest, Levels, NestedLargest, NestedLevels }.OfType<StoredTensor>();
    }
}
