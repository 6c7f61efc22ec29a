using System.Text.Json.Nodes;
using GlmTune.Kernels;
using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Native;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Model.Tests.Prequantized;

/// <summary>Models that other programs have quantized.</summary>
public sealed class QuantizedBaseTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    static QuantizedBaseTests() => NativeRuntime.Load();

    public static TheoryData<string, string> Forms =>
        new()
        {
            { "glm-tiny/model-hf", "nf4" },
            { "glm-tiny/model-chatglm", "nf4" },
            { "glm4-tiny/model-hf", "nf4" },
            { "edge-tiny/model-hf", "nf4" },
            { "glm-tiny/model-hf", "nf4 without double quantization" },
            { "glm-tiny/model-chatglm", "nf4 in blocks of 128" },
            { "glm-tiny/model-hf", "fp4" },
            { "glm-tiny/model-hf", "nf4, k_proj not quantized" },
            { "glm-tiny/model-hf", "fp8 by rows" },
            { "glm-tiny/model-chatglm", "fp8 by rows" },
            { "glm-tiny/model-hf", "fp8" },
            { "glm-tiny/model-hf", "fp8 by tiles" },
            { "glm-tiny/model-hf", "int8" },
        };

    public void Dispose() => folder.Dispose();

    [Theory]
    [MemberData(nameof(Forms))]
    public void Weights_are_exactly_those_of_the_file(string source, string form)
    {
        var meant = Write(source, form);
        using var scope = NewDisposeScope();
        using var model = ModelFolder.Load(folder.At("model"), ScalarType.Float32, CPU);
        var slices = model.Names.Weights(model, model.Config.Layout).ToLookup(slice => slice.Parameter);
        foreach (var parameter in model.BaseParameters)
        {
            var values = parameter.Quantized?.Matrix.Dequantized(ScalarType.Float64) ?? parameter.Value;
            Assert.Equal(model.QuantizableWeights.Contains(parameter), parameter.Quantized is not null);
            foreach (var slice in slices[parameter])
            {
                var expected = tensor(meant[slice.Name]).view(slice.Shape);
                var found = values.narrow(0, slice.FirstRow, slice.Rows).to_type(ScalarType.Float64);
                var difference = (found - expected).abs().max().item<double>();
                Assert.InRange(difference / expected.abs().max().item<double>(), 0, 2e-7);
            }
        }
    }

    [Theory]
    [MemberData(nameof(Forms))]
    public void Logits_and_gradients_are_those_of_the_dequantized_model(string source, string form)
    {
        Write(source, form);
        using var scope = NewDisposeScope();
        using var model = ModelFolder.Load(folder.At("model"), ScalarType.Float32, CPU);
        using var whole = ModelFolder.Load(folder.At("model"), ScalarType.Float32, CPU, keepQuantized: false);
        Assert.All(whole.BaseParameters, parameter => Assert.Null(parameter.Quantized));
        int[] ids = [5, 300, 17, 4, 99, 620];
        var layout = SequenceLayout.OfRows(1, ids.Length, CPU);
        var difference = model.Logits(ids, layout) - whole.Logits(ids, layout);
        Assert.InRange(difference.abs().max().item<float>(), 0, 1e-5);
        foreach (var (ours, plain) in model.QuantizableWeights.Zip(whole.QuantizableWeights))
        {
            var x = randn(3, ours.Shape[1]);
            var gradient = randn(3, ours.Shape[0]);
            var (product, back) = (x.mm(plain.Value.t()), gradient.mm(plain.Value));
            Assert.InRange((x.mm(ours.Dense.t()) - product).abs().max().item<float>(), 0, 1e-5);
            Assert.InRange((gradient.mm(ours.Dense) - back).abs().max().item<float>(), 0, 1e-5);
        }
    }

    [Theory]
    [InlineData("nf4", typeof(StackedMatrix), typeof(Nf4Matrix))]
    [InlineData("nf4 without double quantization", typeof(StackedMatrix), typeof(LevelMatrix))]
    [InlineData("fp8 by rows", typeof(Fp8Matrix), typeof(Fp8Matrix))]
    [InlineData("fp8 by tiles", typeof(StackedMatrix), typeof(Fp8TileMatrix))]
    [InlineData("int8", typeof(Int8Matrix), typeof(Int8Matrix))]
    public void They_stay_in_few_bits(string form, Type fused, Type single)
    {
        Write("glm-tiny/model-hf", form);
        using var model = ModelFolder.Load(folder.At("model"), ScalarType.Float32, CPU);
        foreach (var layer in model.Layers)
        {
            Assert.IsType(fused, layer.Attention.QueryKeyValue.Weight.Quantized!.Matrix);
            Assert.IsType(single, layer.FeedForward.Down.Weight.Quantized!.Matrix);
            var matrix = layer.FeedForward.Down.Weight.Quantized!.Matrix;
            // Tables of levels aside, what the configuration says.
            var elements = matrix.Rows * matrix.Columns;
            Assert.InRange(matrix.Bytes, elements * 0.5, (elements * model.Config.Stored!.BytesPerElement) + 4096);
        }
    }

    [Fact]
    public void Writing_a_dequantized_model_leaves_nothing_of_the_quantization()
    {
        Write("glm-tiny/model-hf", "nf4");
        using (var model = ModelFolder.Load(folder.At("model"), ScalarType.Float32, CPU, keepQuantized: false))
        {
            Directory.CreateDirectory(folder.At("whole"));
            ModelFolder.Save(model, folder.At("whole"), CheckpointLayout.Original, ScalarType.Float32);
        }

        Assert.Null(ModelConfig.Read(folder.At("whole")).Stored);
        using var stored = StoredModel.Open(folder.At("model"));
        using var whole = ModelFolder.Load(folder.At("whole"), ScalarType.Float32, CPU);
        foreach (var (quantized, plain) in stored.Model.BaseParameters.Zip(whole.BaseParameters))
        {
            stored.Load(quantized);
            Assert.True(quantized.Value.equal(plain.Value).all().item<bool>(), plain.Name);
        }
    }

    [Fact]
    public void They_are_not_quantized_once_more()
    {
        Write("glm-tiny/model-hf", "nf4");
        var error = Assert.Throws<InvalidDataException>(() =>
            ModelFolder
                .Load(
                    folder.At("model"),
                    ScalarType.Float32,
                    CPU,
                    quantization: new Quantization(FrozenType.Int8, Backward: false)
                )
                .Dispose()
        );
        Assert.Contains("already quantized (bitsandbytes nf4), so they cannot be quantized to int8", error.Message);
    }

    [Theory]
    [InlineData("absmax", "there is no 'model.layers.0.mlp.down_proj.weight.absmax'")]
    [InlineData(
        "quant_state.bitsandbytes__nf4",
        "no 'model.layers.0.mlp.down_proj.weight.quant_state.bitsandbytes__nf4'"
    )]
    [InlineData("nested_absmax", "its double quantization is incomplete")]
    public void What_is_missing_is_named(string part, string message)
    {
        Write("glm-tiny/model-hf", "nf4");
        Edit(tensor => tensor.Name != $"model.layers.0.mlp.down_proj.weight.{part}");
        var error = Assert.Throws<InvalidDataException>(() => ModelFolder.LayOut(folder.At("model")).Dispose());
        Assert.Contains(message, error.Message);
        Assert.Contains("'model.layers.0.mlp.down_proj.weight' (bitsandbytes nf4)", error.Message);
        Assert.Contains("(1 problems)", error.Message);
    }

    [Theory]
    [InlineData("not JSON at all", "not valid JSON")]
    [InlineData(
        """{"blocksize": 64, "shape": [64, 175], "nested_blocksize": 256}""",
        "says [64, 175]; expected [64, 176]"
    )]
    [InlineData("""{"blocksize": 32, "shape": [64, 176], "nested_blocksize": 256}""", "expected 352 values of U8")]
    [InlineData("""{"blocksize": 0, "shape": [64, 176]}""", "'blocksize' 0; expected an even number above 0")]
    [InlineData("""{"blocksize": 64, "shape": [64, 176]}""", "its double quantization is incomplete")]
    public void A_description_that_does_not_fit_is_refused(string text, string message)
    {
        Write("glm-tiny/model-hf", "nf4");
        Edit(
            tensor => true,
            "model.layers.0.mlp.down_proj.weight.quant_state.bitsandbytes__nf4",
            System.Text.Encoding.UTF8.GetBytes(text)
        );
        var error = Assert.Throws<InvalidDataException>(() => ModelFolder.LayOut(folder.At("model")).Dispose());
        Assert.Contains(message, error.Message);
    }

    [Fact]
    public void Scales_and_numbers_that_are_not_finite_are_named()
    {
        Write("glm-tiny/model-hf", "fp8 by rows");
        Edit(tensor => true, "model.layers.1.mlp.down_proj.weight", bytes => bytes[7] = 0xFF);
        Assert.Contains("'model.layers.1.mlp.down_proj.weight': values are NaN or infinite", Load());
        Edit(tensor => true, "model.layers.1.mlp.down_proj.weight", bytes => bytes[7] = 0x7E);
        Edit(tensor => true, "model.layers.0.mlp.down_proj.weight_scale", bytes => bytes.AsSpan(0, 4).Fill(0xFF));
        Assert.Contains("'model.layers.0.mlp.down_proj.weight': values are NaN or infinite", Load());

        string Load() =>
            Assert
                .Throws<InvalidDataException>(() =>
                    ModelFolder.Load(folder.At("model"), ScalarType.Float32, CPU).Dispose()
                )
                .Message;
    }

    [Theory]
    [InlineData(
        """{"quant_method": "gptq", "bits": 4}""",
        "this model is quantised (gptq, 4 bits), which is not supported"
    )]
    [InlineData("""{"quant_method": "awq", "bits": 4}""", "quantised (awq, 4 bits)")]
    [InlineData("""{"quant_method": "bitsandbytes", "load_in_8bit": true}""", "quantised (bitsandbytes, 8 bits)")]
    [InlineData(
        """
        {"quant_method": "compressed-tensors", "config_groups": {"group_0": {"weights": {"type": "int",
        "num_bits": 4, "strategy": "group", "symmetric": false}}}}
        """,
        "quantised (compressed-tensors, config_groups.group_0)"
    )]
    [InlineData(
        """
        {"quant_method": "compressed-tensors", "kv_cache_scheme": {}, "config_groups": {"group_0": {"weights": {"type":
        "float", "num_bits": 8, "strategy": "channel"}}}}
        """,
        "quantised (compressed-tensors, kv_cache_scheme)"
    )]
    [InlineData("""{"quant_method": "compressed-tensors"}""", "quantised (compressed-tensors)")]
    public void Other_quantizations_are_refused_by_name(string quantization, string message)
    {
        Directory.CreateDirectory(folder.At("model"));
        var config = JsonNode.Parse(File.ReadAllText(GoldenData.Path("glm-tiny/model-hf/config.json")))!;
        config["quantization_config"] = JsonNode.Parse(quantization);
        File.WriteAllText(folder.At("model", "config.json"), config.ToJsonString());
        Assert.Contains(
            message,
            Assert.Throws<InvalidDataException>(() => ModelConfig.Read(folder.At("model"))).Message
        );
    }

    private IReadOnlyDictionary<string, double[]> Write(string source, string form)
    {
        var (from, to) = (GoldenData.Path(source), folder.At("model"));
        return form switch
        {
            "nf4" => QuantizedFolder.WriteBitsAndBytes(from, to),
            "nf4 without double quantization" => QuantizedFolder.WriteBitsAndBytes(from, to, doubled: false),
            "nf4 in blocks of 128" => QuantizedFolder.WriteBitsAndBytes(from, to, blockSize: 128),
            "fp4" => QuantizedFolder.WriteBitsAndBytes(from, to, levels: QuantizedFolder.OtherLevels),
            "nf4, k_proj not quantized" => QuantizedFolder.WriteBitsAndBytes(from, to, skip: "k_proj"),
            "fp8 by rows" => QuantizedFolder.WriteScaled(
                from,
                to,
                new JsonObject { ["quant_method"] = "fbgemm_fp8" },
                "_scale",
                (1, 0)
            ),
            "fp8" => QuantizedFolder.WriteScaled(from, to, Compressed("float", "tensor"), "_scale", (0, 0)),
            "int8" => QuantizedFolder.WriteScaled(
                from,
                to,
                Compressed("int", "channel"),
                "_scale",
                (1, 0),
                integers: true
            ),
            _ => QuantizedFolder.WriteScaled(
                from,
                to,
                new JsonObject { ["quant_method"] = "fp8", ["weight_block_size"] = new JsonArray(32, 48) },
                "_scale_inv",
                (32, 48)
            ),
        };
    }

    private static JsonObject Compressed(string type, string strategy) =>
        new()
        {
            ["quant_method"] = "compressed-tensors",
            ["config_groups"] = new JsonObject
            {
                ["group_0"] = new JsonObject
                {
                    ["weights"] = new JsonObject
                    {
                        ["type"] = type,
                        ["num_bits"] = 8,
                        ["strategy"] = strategy,
                        ["symmetric"] = true,
                    },
                },
            },
        };

    private void Edit(Func<Weights.StoredTensor, bool> keep, string name, Action<byte[]> change)
    {
        byte[] bytes;
        using (var files = Weights.WeightFiles.Open(folder.At("model")))
        {
            bytes = files[name].Bytes.ToArray();
        }

        change(bytes);
        Edit(keep, name, bytes);
    }

    private void Edit(Func<Weights.StoredTensor, bool> keep, string? name = null, byte[]? bytes = null)
    {
        List<(Weights.TensorSpec Spec, byte[] Bytes)> tensors;
        using (var files = Weights.WeightFiles.Open(folder.At("model")))
        {
            tensors =
            [
                .. files
                    .Tensors.Where(keep)
                    .Select(tensor =>
                        tensor.Name != name ? (tensor.Spec, tensor.Bytes.ToArray())
                        : tensor.ByteCount == bytes!.Length ? (tensor.Spec, bytes)
                        : (new Weights.TensorSpec(name, tensor.Type, bytes.Length), bytes)
                    ),
            ];
        }

        using var writer = new Weights.SafetensorsWriter(
            folder.At("model", "model.safetensors"),
            tensors.Select(tensor => tensor.Spec)
        );
        tensors.ForEach(tensor => writer.Write(tensor.Spec.Name, tensor.Bytes));
        writer.Complete();
    }
}
