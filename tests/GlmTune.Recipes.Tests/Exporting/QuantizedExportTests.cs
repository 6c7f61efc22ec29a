using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text.Json.Nodes;
using GlmTune.Model;
using GlmTune.Recipes.Chat;
using GlmTune.Recipes.Exporting;
using GlmTune.Recipes.Models;
using GlmTune.Weights;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Recipes.Tests.Exporting;

public sealed class QuantizedExportTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    [Theory]
    [InlineData("glm-tiny/adapter-lora_all", "glm-tiny/model-hf")]
    [InlineData("glm-tiny/adapter-dora", "glm-tiny/model-hf")]
    [InlineData("glm4-tiny/model-hf", null)]
    [InlineData("edge-tiny/model-hf", null)]
    public void Fp8_rows_are_the_merged_weights_to_the_nearest_number(string tuned, string? baseModel)
    {
        var path = TunedPath.Resolve(GoldenData.Path(tuned), baseModel is null ? null : GoldenData.Path(baseModel));
        var written = Write(path, ExportedQuantization.Fp8);
        MergeAdapter.Run(path, folder.At("merged"), CheckpointLayout.Library, ScalarType.Float32, CPU);
        using var expected = WeightFiles.Open(folder.At("merged"));
        using var files = WeightFiles.Open(written);
        var quantized = 0;
        foreach (var tensor in expected.Tensors)
        {
            var stored = files[tensor.Name];
            Assert.Equal(tensor.Shape, stored.Shape);
            var values = Doubles(tensor);
            if (files.Find($"{tensor.Name}_scale") is not { } scale)
            {
                Assert.Equal(values, Doubles(stored));
                continue;
            }

            quantized++;
            Assert.Equal([tensor.Shape[0], 1], scale.Shape);
            var (codes, scales, width) = (stored.Bytes.ToArray(), Doubles(scale), (int)tensor.Shape[1]);
            for (var i = 0; i < values.Length; i++)
            {
                var (value, step) = (Fp8Value(codes[i]), scales[i / width]);
                // Three bits of mantissa, and equal steps of 2⁻⁹ below 2⁻⁶.
                var exact = values[i] / step;
                Assert.InRange(Math.Abs(exact), 0, 448 * 1.000001);
                Assert.InRange(Math.Abs(exact - value), 0, Math.Max(Math.Abs(exact) / 16, Math.Pow(2, -10)) * 1.000001);
            }
        }

        Assert.Equal(3 * 6, quantized); // query, key, value, output, gate and up, down
        Assert.Equal(expected.Count + quantized, files.Count);
    }

    [Theory]
    [InlineData(CheckpointLayout.Library, 6, "lm_head")]
    [InlineData(CheckpointLayout.Original, 4, "transformer.output_layer")]
    public void Int4_groups_have_integers_scales_and_shape(CheckpointLayout layout, int linears, string head)
    {
        var path = TunedPath.Resolve(Nano, null);
        using (var export = QuantizedExport.Plan(path, ExportedQuantization.Int4, layout))
        {
            Assert.Equal(["groups have 64 values instead of 128, which do not divide every row"], export.Notes);
            export.Write(folder.At("int4"));
        }

        MergeAdapter.Run(path, folder.At("plain"), layout, ScalarType.BFloat16, CPU);
        using var expected = WeightFiles.Open(folder.At("plain"));
        using var files = WeightFiles.Open(folder.At("int4"));
        var quantized = 0;
        foreach (var tensor in expected.Tensors)
        {
            if (files.Find(tensor.Name) is { } same)
            {
                Assert.Equal(Doubles(tensor), Doubles(same));
                continue;
            }

            quantized++;
            var (packed, scale) = (files[$"{tensor.Name}_packed"], files[$"{tensor.Name}_scale"]);
            var (rows, width) = ((int)tensor.Shape[0], (int)tensor.Shape[1]);
            Assert.Equal(ElementType.I32, packed.Type);
            Assert.Equal([rows, width / 8], packed.Shape);
            Assert.Equal(ElementType.BF16, scale.Type);
            Assert.Equal([rows, width / 64], scale.Shape);
            Assert.Equal(
                [rows, width],
                MemoryMarshal.Cast<byte, long>(files[$"{tensor.Name}_shape"].Bytes).ToArray().Select(size => (int)size)
            );
            var (words, scales, values) = (
                MemoryMarshal.Cast<byte, uint>(packed.Bytes).ToArray(),
                Doubles(scale),
                Doubles(tensor)
            );
            var (error, norm) = (0.0, 0.0);
            for (var i = 0; i < values.Length; i++)
            {
                var integer = (int)((words[i / 8] >> (4 * (i % 8))) & 15) - 8;
                error += Math.Pow(values[i] - (integer * scales[i / 64]), 2);
                norm += values[i] * values[i];
            }

            Assert.InRange(Math.Sqrt(error / norm), 0.03, 0.12);
        }

        Assert.Equal(6 * linears, quantized);
        var config = Config("int4")["quantization_config"]!;
        Assert.Equal("compressed-tensors", (string?)config["quant_method"]);
        Assert.Equal("pack-quantized", (string?)config["format"]);
        Assert.Equal([head], config["ignore"]!.AsArray().Select(node => (string?)node));
        var weights = config["config_groups"]!["group_0"]!["weights"]!;
        Assert.Equal(
            (4, "int", 64),
            ((int)weights["num_bits"]!, (string?)weights["type"], (int)weights["group_size"]!)
        );
        Assert.Null(config["config_groups"]!["group_0"]!["input_activations"]);
        Assert.True(File.Exists(folder.At("int4", "generation_config.json")));
        Assert.Equal(layout == CheckpointLayout.Original, File.Exists(folder.At("int4", "tokenizer.model")));
    }

    [Fact]
    public void The_configuration_of_fp8_says_how_activations_are_quantized()
    {
        Write(TunedPath.Resolve(Nano, null), ExportedQuantization.Fp8);
        var config = Config("out");
        Assert.Equal("glm", (string?)config["model_type"]);
        var group = config["quantization_config"]!["config_groups"]!["group_0"]!;
        Assert.Equal("float-quantized", (string?)config["quantization_config"]!["format"]);
        Assert.Equal("channel", (string?)group["weights"]!["strategy"]);
        Assert.Equal("token", (string?)group["input_activations"]!["strategy"]);
        Assert.True((bool)group["input_activations"]!["dynamic"]!);
    }

    [Fact]
    public void Rows_without_groups_are_refused_before_anything_is_written()
    {
        var path = TunedPath.Resolve(GoldenData.Path("glm-tiny/model-hf"), null);
        var error = Assert.Throws<InvalidDataException>(() =>
            QuantizedExport.Plan(path, ExportedQuantization.Int4, null).Dispose()
        );
        Assert.Contains(
            "groups of 128, 64, 32 values, but these have 64, 176. Use 'glmtune export fp8'",
            error.Message
        );
    }

    [Fact]
    public void Weights_that_are_not_finite_are_refused_by_name_and_nothing_is_left()
    {
        using (var model = ModelFolder.Load(Nano, ScalarType.Float32, CPU))
        {
            model.Layers[1].FeedForward.Down.Weight.Value[3, 5] = float.NaN;
            Directory.CreateDirectory(folder.At("bad"));
            ModelFolder.Save(model, folder.At("bad"), CheckpointLayout.Library, ScalarType.Float32);
        }

        foreach (var type in Enum.GetValues<ExportedQuantization>())
        {
            var error = Assert.Throws<InvalidDataException>(() =>
                Write(TunedPath.Resolve(folder.At("bad"), null), type)
            );
            Assert.Contains("'model.layers.1.mlp.down_proj.weight' has values that are not finite", error.Message);
            Assert.Equal([folder.At("bad")], Directory.EnumerateFileSystemEntries(folder.Path));
        }
    }

    private static string Nano => GoldenData.Path("../../models/glm-nano");

    private string Write(TunedPath path, ExportedQuantization type)
    {
        using var export = QuantizedExport.Plan(path, type, null);
        export.Write(folder.At("out"));
        return folder.At("out");
    }

    private JsonNode Config(string name) => JsonNode.Parse(File.ReadAllText(folder.At(name, "config.json")))!;

    // OCP 8-bit floating point, e4m3: sign, four bits of exponent with bias 7, three of mantissa.
    private static double Fp8Value(byte code)
    {
        var (exponent, mantissa) = ((code >> 3) & 15, code & 7);
        Assert.NotEqual(127, code & 127); // not a number
        var magnitude = exponent == 0 ? mantissa * Math.Pow(2, -9) : (1 + (mantissa / 8.0)) * Math.Pow(2, exponent - 7);
        return code >= 128 ? -magnitude : magnitude;
    }

    private static double[] Doubles(StoredTensor tensor)
    {
        var bytes = tensor.Bytes;
        var result = new double[bytes.Length / tensor.Type.ByteSize()];
        for (var i = 0; i < result.Length; i++)
        {
            result[i] = tensor.Type switch
            {
                ElementType.F32 => BinaryPrimitives.ReadSingleLittleEndian(bytes[(4 * i)..]),
                ElementType.BF16 => BitConverter.UInt32BitsToSingle(
                    (uint)BinaryPrimitives.ReadUInt16LittleEndian(bytes[(2 * i)..]) << 16
                ),
                _ => throw new ArgumentException($"{tensor.Type}", nameof(tensor)),
            };
        }

        return result;
    }
}
