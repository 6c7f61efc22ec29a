using System.Buffers.Binary;
using System.Text.Json.Nodes;
using GlmTune.Kernels.Native;
using GlmTune.Model.Adapters;
using GlmTune.Weights;
using static TorchSharp.torch;

namespace GlmTune.Model.Tests;

/// <summary>Weights that are NaN or infinite are refused by the name of their tensor.</summary>
public sealed class FiniteWeightsTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    public FiniteWeightsTests() => NativeRuntime.Load();

    public void Dispose() => folder.Dispose();

    [Theory]
    [InlineData("model-hf", "model.layers.1.self_attn.q_proj.weight", float.NaN)]
    [InlineData("model-hf", "model.embed_tokens.weight", float.PositiveInfinity)]
    [InlineData("model-hf", "lm_head.weight", float.NegativeInfinity)]
    [InlineData("model-chatglm", "transformer.encoder.layers.0.self_attention.query_key_value.weight", float.NaN)]
    [InlineData("model-chatglm", "transformer.encoder.final_layernorm.weight", float.PositiveInfinity)]
    public void A_tensor_of_a_model_is_named_in_either_layout(string model, string tensor, float value)
    {
        var path = Copy($"glm-tiny/{model}");
        Poke(path, tensor, value);
        foreach (var type in new[] { ScalarType.Float32, ScalarType.BFloat16, ScalarType.Float16 })
        {
            var error = Assert.Throws<InvalidDataException>(() => ModelFolder.Load(path, type, CPU).Dispose());
            Assert.Matches(
                $": a tensor has values that are not finite[\\s\\S]*'{tensor}': 1 of [0-9,]+ values are NaN "
                    + "or infinite",
                error.Message
            );
        }
    }

    [Fact]
    public void All_of_them_are_named_also_where_each_layer_leaves_as_it_comes()
    {
        var path = Copy("glm-tiny/model-hf");
        Poke(path, "model.norm.weight", float.NaN);
        Poke(path, "model.layers.0.input_layernorm.weight", float.NaN);
        var error = Assert.Throws<InvalidDataException>(() =>
            ModelFolder.Load(path, ScalarType.Float32, CPU, loaded: _ => { }).Dispose()
        );
        Assert.Contains("2 tensors", error.Message, StringComparison.Ordinal);
        Assert.Contains("'model.norm.weight'", error.Message, StringComparison.Ordinal);
        Assert.Contains("'model.layers.0.input_layernorm.weight'", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_weight_that_the_type_cannot_hold_is_another_matter()
    {
        var path = Copy("glm-tiny/model-hf");
        Poke(path, "model.norm.weight", 1e5f);
        var error = Assert.Throws<InvalidDataException>(() =>
            ModelFolder.Load(path, ScalarType.Float16, CPU).Dispose()
        );
        Assert.Contains("too large for float16; use bfloat16 or float32", error.Message, StringComparison.Ordinal);
        ModelFolder.Load(path, ScalarType.BFloat16, CPU).Dispose();
    }

    [Fact]
    public void A_sum_that_overflows_in_float16_is_no_fault()
    {
        var path = Copy("glm-tiny/model-hf");
        for (var at = 0; at < 8; at++)
        {
            Poke(path, "model.norm.weight", 6e4f, at);
        }

        ModelFolder.Load(path, ScalarType.Float16, CPU).Dispose();
    }

    [Theory]
    [InlineData("adapter-lora")]
    [InlineData("adapter-lora_fused-chatglm")]
    [InlineData("adapter-dora")]
    [InlineData("adapter-prefix")]
    public void A_tensor_of_an_adapter_is_named(string adapter)
    {
        var path = Copy($"glm-tiny/{adapter}");
        var file = Path.Combine(path, "adapter_model.safetensors");
        using var opened = WeightFiles.Open(file);
        var tensor = opened.Tensors.Last().Name;
        Poke(path, tensor, float.NaN);
        using var model = ModelFolder.Load(GoldenData.Path("glm-tiny/model-hf"), ScalarType.Float32, CPU);
        var error = Assert.Throws<InvalidDataException>(() => AdapterFolder.Load(path, model).Dispose());
        Assert.Contains($"'{tensor}': 1 of ", error.Message, StringComparison.Ordinal);
        Assert.Contains("NaN or infinite", error.Message, StringComparison.Ordinal);
    }

    private string Copy(string golden)
    {
        foreach (var file in Directory.EnumerateFiles(GoldenData.Path(golden)))
        {
            File.Copy(file, folder.At(Path.GetFileName(file)));
        }

        return folder.Path;
    }

    // Sets one value of a stored tensor.
    private static void Poke(string path, string tensor, float value, int at = 0)
    {
        foreach (var file in Directory.EnumerateFiles(path, "*.safetensors"))
        {
            var bytes = File.ReadAllBytes(file);
            var length = (int)BinaryPrimitives.ReadInt64LittleEndian(bytes);
            if (JsonNode.Parse(bytes.AsSpan(8, length))![tensor] is not { } entry)
            {
                continue;
            }

            var start = 8 + length + (int)entry["data_offsets"]![0]!;
            switch ((string)entry["dtype"]!)
            {
                case "F32":
                    BinaryPrimitives.WriteSingleLittleEndian(bytes.AsSpan(start + (4 * at)), value);
                    break;
                case "BF16":
                    var half = (ushort)(BitConverter.SingleToUInt32Bits(value) >> 16);
                    BinaryPrimitives.WriteUInt16LittleEndian(bytes.AsSpan(start + (2 * at)), half);
                    break;
                default:
                    BinaryPrimitives.WriteHalfLittleEndian(bytes.AsSpan(start + (2 * at)), (Half)value);
                    break;
            }

            File.WriteAllBytes(file, bytes);
            return;
        }

        Assert.Fail($"no {tensor}");
    }
}
