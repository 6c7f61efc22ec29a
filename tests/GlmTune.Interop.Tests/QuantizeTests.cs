using System.Text.Json.Nodes;
using GlmTune.Model;
using GlmTune.Recipes.Models;
using GlmTune.Testing;
using GlmTune.Weights.Gguf;
using LLama.Native;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Interop.Tests;

/// <summary>A quantized file has the types that llama.cpp's own quantization chooses.</summary>
public sealed class QuantizeTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    // 17 layers, so that the first eighth, the last and every third between differ; rows of 256, and of 288, which only
    // blocks of 32 fit into.
    [Theory]
    [InlineData("glm", "Q4_K_M", LLamaFtype.MOSTLY_Q4_K_M), InlineData("chatglm", "Q4_K_M", LLamaFtype.MOSTLY_Q4_K_M)]
    [InlineData("glm4", "Q4_K_M", LLamaFtype.MOSTLY_Q4_K_M), InlineData("edge", "Q4_K_M", LLamaFtype.MOSTLY_Q4_K_M)]
    [InlineData("glm", "Q4_0", LLamaFtype.MOSTLY_Q4_0), InlineData("edge", "Q4_0", LLamaFtype.MOSTLY_Q4_0)]
    [InlineData("glm", "Q8_0", LLamaFtype.MOSTLY_Q8_0)]
    public void Every_tensor_has_llama_cpps_type(string kind, string type, LLamaFtype theirs)
    {
        var model = Random(kind);
        Exported.Write(model, folder.At("ours.gguf"), Enum.Parse<GgufFileType>(type));
        Exported.Write(model, folder.At("whole.gguf"), GgufFileType.F32);
        LlamaCpp.Load();
        var options = LLamaModelQuantizeParams.Default();
        options.ftype = theirs;
        options.nthread = 1;
        Assert.Equal(
            0u,
            NativeApi.llama_model_quantize(folder.At("whole.gguf"), folder.At("theirs.gguf"), ref options)
        );
        Assert.Equal(Types("theirs.gguf"), Types("ours.gguf"));
    }

    private IEnumerable<string> Types(string file) =>
        new GgufFile(folder.At(file)).Tensors.Select(tensor => $"{tensor.Key} {tensor.Value.Type}").Order();

    private string Random(string kind)
    {
        var golden = kind switch
        {
            "chatglm" => "glm-tiny/model-chatglm",
            "glm4" => "glm4-tiny/model-hf",
            "edge" => "edge-tiny/model-hf",
            _ => "glm-tiny/model-hf",
        };
        var json = JsonNode.Parse(File.ReadAllText(Path.Combine(GoldenData.Path(golden), ModelConfig.FileName)))!;
        foreach (
            var (key, value) in new (string, int)[]
            {
                ("hidden_size", 256),
                ("head_dim", 32),
                ("kv_channels", 32),
                ("num_hidden_layers", 17),
                ("num_layers", 17),
                ("intermediate_size", 288),
                ("ffn_hidden_size", 288),
            }
        )
        {
            if (json[key] is not null)
            {
                json[key] = value;
            }
        }

        folder.Write($"shape/{ModelConfig.FileName}", json.ToJsonString());
        InitializeModel.Run(folder.At("random"), folder.At("shape"), null, seed: 1, ScalarType.Float32, CPU);
        return Exported.WithTokenizer(folder.At("random"), folder.At("model"));
    }
}
