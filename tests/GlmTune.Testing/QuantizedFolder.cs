using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json.Nodes;
using GlmTune.Kernels.Definitions;
using GlmTune.Weights;

namespace GlmTune;

/// <summary>Model folders whose linear weights are quantized as other programs write them, computed in float64 from the
/// definitions of their formats.</summary>
internal static class QuantizedFolder
{
    private static readonly string[] Linears =
    [
        "q_proj.weight",
        "k_proj.weight",
        "v_proj.weight",
        "o_proj.weight",
        "gate_up_proj.weight",
        "down_proj.weight",
        "query_key_value.weight",
        "dense.weight",
        "dense_h_to_4h.weight",
        "dense_4h_to_h.weight",
    ];

    /// <summary>A table of sixteen levels that is not nf4's.</summary>
    public static IReadOnlyList<float> OtherLevels { get; } =
    [
        0f,
        0.0052083335f,
        0.6666667f,
        1f,
        0.33333334f,
        0.5f,
        0.16666667f,
        0.25f,
        -0f,
        -0.0052083335f,
        -0.6666667f,
        -1f,
        -0.33333334f,
        -0.5f,
        -0.16666667f,
        -0.25f,
    ];

    /// <summary>Writes bitsandbytes' 4 bits.</summary>
    /// <param name="source">A model folder with float32 or bfloat16 weights.</param>
    /// <param name="target">The new folder.</param>
    /// <param name="doubled">Whether the largest magnitudes of the blocks are quantized too.</param>
    /// <param name="blockSize">Elements of a block.</param>
    /// <param name="levels">The sixteen levels; null: nf4's.</param>
    /// <param name="skip">Leaves weights whose name contains it as they are.</param>
    /// <returns>The values that the file stands for, by name.</returns>
    public static IReadOnlyDictionary<string, double[]> WriteBitsAndBytes(
        string source,
        string target,
        bool doubled = true,
        int blockSize = 64,
        IReadOnlyList<float>? levels = null,
        string? skip = null
    )
    {
        var type = levels is null ? "nf4" : "fp4";
        var table = levels ?? Nf4Matrix.Levels;
        return Write(
            source,
            target,
            new JsonObject
            {
                ["quant_method"] = "bitsandbytes",
                ["load_in_4bit"] = true,
                ["bnb_4bit_quant_type"] = type,
                ["bnb_4bit_use_double_quant"] = doubled,
            },
            (name, shape, values) =>
            {
                if (skip is not null && name.Contains(skip, StringComparison.Ordinal))
                {
                    return null;
                }

                var scales = values.Chunk(blockSize).Select(block => (double)(float)block.Max(Math.Abs)).ToArray();
                var codes = new byte[(values.Length + 1) / 2];
                for (var i = 0; i < values.Length; i++)
                {
                    var code = Nearest(table, values[i] / scales[i / blockSize]);
                    codes[i / 2] |= (byte)(i % 2 == 0 ? code << 4 : code);
                }

                var description = new JsonObject
                {
                    ["quant_type"] = type,
                    ["blocksize"] = blockSize,
                    ["dtype"] = "bfloat16",
                    ["shape"] = new JsonArray(shape[0], shape[1]),
                };
                List<(TensorSpec, byte[])> tensors =
                [
                    (new TensorSpec(name, ElementType.U8, codes.Length, 1), codes),
                    (new TensorSpec($"{name}.quant_map", ElementType.F32, 16), Floats(table)),
                ];
                if (doubled)
                {
                    var offset = (double)(float)scales.Average();
                    var groups = scales
                        .Chunk(256)
                        .Select(group => (double)(float)group.Max(scale => Math.Abs(scale - offset)))
                        .ToArray();
                    byte[] scaleCodes =
                    [
                        .. scales.Select(
                            (scale, i) => (byte)Nearest(Nf4Matrix.ScaleLevels, (scale - offset) / groups[i / 256])
                        ),
                    ];
                    scales =
                    [
                        .. scaleCodes.Select((code, i) => (Nf4Matrix.ScaleLevels[code] * groups[i / 256]) + offset),
                    ];
                    tensors.Add((new TensorSpec($"{name}.absmax", ElementType.U8, scaleCodes.Length), scaleCodes));
                    tensors.Add(
                        (
                            new TensorSpec($"{name}.nested_absmax", ElementType.F32, groups.Length),
                            Floats([.. groups.Select(group => (float)group)])
                        )
                    );
                    tensors.Add(
                        (
                            new TensorSpec($"{name}.nested_quant_map", ElementType.F32, 256),
                            Floats(Nf4Matrix.ScaleLevels)
                        )
                    );
                    description["nested_blocksize"] = 256;
                    description["nested_dtype"] = "float32";
                    description["nested_offset"] = offset;
                }
                else
                {
                    tensors.Add(
                        (
                            new TensorSpec($"{name}.absmax", ElementType.F32, scales.Length),
                            Floats([.. scales.Select(scale => (float)scale)])
                        )
                    );
                }

                var text = Encoding.UTF8.GetBytes(description.ToJsonString());
                tensors.Add(
                    (new TensorSpec($"{name}.quant_state.bitsandbytes__{type}", ElementType.U8, text.Length), text)
                );
                return (
                    tensors,
                    [
                        .. Enumerable
                            .Range(0, values.Length)
                            .Select(i =>
                                table[i % 2 == 0 ? codes[i / 2] >> 4 : codes[i / 2] & 15] * scales[i / blockSize]
                            ),
                    ]
                );
            }
        );
    }

    /// <summary>Writes fp8, or 8-bit integers, with scales of tiles.</summary>
    /// <param name="source">A model folder with float32 or bfloat16 weights.</param>
    /// <param name="target">The new folder.</param>
    /// <param name="quantization">The folder's <c>quantization_config</c>.</param>
    /// <param name="suffix">What follows the name of a weight in that of its scales.</param>
    /// <param name="tile">Rows and columns that share a scale; 0: all.</param>
    /// <param name="integers">Whether numbers are integers.</param>
    /// <returns>The values that the file stands for, by name.</returns>
    public static IReadOnlyDictionary<string, double[]> WriteScaled(
        string source,
        string target,
        JsonObject quantization,
        string suffix,
        (int Rows, int Columns) tile,
        bool integers = false
    ) =>
        Write(
            source,
            target,
            quantization,
            (name, shape, values) =>
            {
                var (rows, columns) = ((int)shape[0], (int)shape[1]);
                var (height, width) = (tile.Rows == 0 ? rows : tile.Rows, tile.Columns == 0 ? columns : tile.Columns);
                var across = (columns + width - 1) / width;
                int TileOf(int i) => (i / columns / height * across) + (i % columns / width);
                var scales = new float[(rows + height - 1) / height * across];
                for (var i = 0; i < values.Length; i++)
                {
                    scales[TileOf(i)] = Math.Max(
                        scales[TileOf(i)],
                        (float)(Math.Abs(values[i]) / (integers ? 127 : 448))
                    );
                }

                var codes = new byte[values.Length];
                var meant = new double[values.Length];
                for (var i = 0; i < values.Length; i++)
                {
                    var scale = scales[TileOf(i)];
                    codes[i] = integers
                        ? (byte)(sbyte)Math.Clamp(Math.Round(values[i] / scale), -127, 127)
                        : Fp8Code(values[i] / scale);
                    meant[i] = (integers ? (sbyte)codes[i] : Fp8Value(codes[i])) * (double)scale;
                }

                long[] form =
                    scales.Length == 1 ? [1]
                    : across == 1 ? [scales.Length, 1]
                    : [scales.Length / across, across];
                return (
                    [
                        (new TensorSpec(name, integers ? ElementType.I8 : ElementType.F8_E4M3, shape), codes),
                        (new TensorSpec(name + suffix, ElementType.F32, form), Floats(scales)),
                    ],
                    meant
                );
            }
        );

    private delegate (List<(TensorSpec Spec, byte[] Bytes)> Tensors, double[] Values)? Quantize(
        string name,
        long[] shape,
        double[] values
    );

    /// <summary>The value of a number in e4m3.</summary>
    public static double Fp8Value(int code)
    {
        var (exponent, mantissa) = ((code >> 3) & 15, code & 7);
        var magnitude = exponent == 0 ? mantissa * Math.Pow(2, -9) : (1 + (mantissa / 8.0)) * Math.Pow(2, exponent - 7);
        return code >= 128 ? -magnitude : magnitude;
    }

    private static byte Fp8Code(double value)
    {
        var best = 0;
        for (var code = 0; code < 127; code++)
        {
            best =
                Math.Abs(Fp8Value(code) - Math.Abs(value)) < Math.Abs(Fp8Value(best) - Math.Abs(value)) ? code : best;
        }

        return (byte)(value < 0 ? best | 128 : best);
    }

    private static Dictionary<string, double[]> Write(
        string source,
        string target,
        JsonObject quantization,
        Quantize quantize
    )
    {
        Directory.CreateDirectory(target);
        foreach (var file in Directory.EnumerateFiles(source).Where(file => !file.EndsWith(".safetensors", Ordinal)))
        {
            File.Copy(file, Path.Combine(target, Path.GetFileName(file)));
        }

        var config = JsonNode.Parse(File.ReadAllText(Path.Combine(source, "config.json")))!;
        config["quantization_config"] = quantization;
        File.WriteAllText(Path.Combine(target, "config.json"), config.ToJsonString());
        var meant = new Dictionary<string, double[]>();
        List<(TensorSpec Spec, byte[] Bytes)> tensors = [];
        using (var files = WeightFiles.Open(source))
        {
            foreach (var tensor in files.Tensors)
            {
                var values = Values(tensor);
                var quantized = Linears.Any(end => tensor.Name.EndsWith(end, Ordinal))
                    ? quantize(tensor.Name, tensor.Shape, values)
                    : null;
                meant[tensor.Name] = quantized?.Values ?? values;
                tensors.AddRange(quantized?.Tensors ?? [(tensor.Spec, tensor.Bytes.ToArray())]);
            }
        }

        using var writer = new SafetensorsWriter(
            Path.Combine(target, "model.safetensors"),
            tensors.Select(tensor => tensor.Spec)
        );
        foreach (var (spec, bytes) in tensors)
        {
            writer.Write(spec.Name, bytes);
        }

        writer.Complete();
        return meant;
    }

    private const StringComparison Ordinal = StringComparison.Ordinal;

    private static int Nearest(IReadOnlyList<float> levels, double value) =>
        Enumerable.Range(0, levels.Count).MinBy(i => Math.Abs(levels[i] - value));

    private static byte[] Floats(IReadOnlyList<float> values) =>
        MemoryMarshal.AsBytes<float>(values.ToArray()).ToArray();

    private static double[] Values(StoredTensor tensor)
    {
        var bytes = tensor.Bytes;
        var result = new double[tensor.Spec.ElementCount];
        for (var i = 0; i < result.Length; i++)
        {
            result[i] =
                tensor.Type == ElementType.F32
                    ? BinaryPrimitives.ReadSingleLittleEndian(bytes[(4 * i)..])
                    : BitConverter.UInt32BitsToSingle(
                        (uint)BinaryPrimitives.ReadUInt16LittleEndian(bytes[(2 * i)..]) << 16
                    );
        }

        return result;
    }
}
