using GlmTune.Model;
using GlmTune.Recipes.Chat;
using GlmTune.Recipes.Exporting;
using GlmTune.Testing;
using GlmTune.Weights.Gguf;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Interop.Tests;

/// <summary>Adapters, merged on the way or as files of their own, give llama.cpp the logits that they give
/// us.</summary>
public sealed class AdapterTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    [Theory]
    [InlineData("glm-tiny", "lora_all", "model-hf"), InlineData("glm-tiny", "rslora", "model-hf")]
    [InlineData("glm-tiny", "lora_fused", "model-chatglm"), InlineData("glm-tiny", "lora_fused-chatglm", "model-hf")]
    [InlineData("glm4-tiny", "lora", "model-hf"), InlineData("edge-tiny", "lora_all", "model-hf")]
    public void An_adapter_file_on_the_bases_file_is_the_adapter(string set, string kind, string model)
    {
        var path = Path(set, kind, model);
        Exported.Write(path.ModelFolder, folder.At("base.gguf"));
        // In the base's layout, which need not be the one that the adapter was trained in.
        GgufAdapterExport.Run(path, folder.At("adapter.gguf"), GgufType.F32, ModelConfig.Read(path.ModelFolder).Layout);
        using var llama = new LlamaModel(folder.At("base.gguf"));
        var ids = ModelTests.SomeIds();
        var ours = Exported.Logits(path, ids);
        Assert.InRange(Exported.Distance(llama.Logits(ids, folder.At("adapter.gguf")), ours), 0, 2e-5);
        Assert.InRange(Exported.Distance(llama.Logits(ids), ours), 1e-3, 10); // the adapter has an effect
    }

    [Theory]
    [InlineData("glm-tiny", "lora_fused-chatglm", "model-hf"), InlineData("glm-tiny", "dora", "model-chatglm")]
    [InlineData("glm4-tiny", "dora", "model-hf"), InlineData("edge-tiny", "lora_all", "model-hf")]
    public void A_tuned_folder_is_merged_on_the_way(string set, string kind, string model)
    {
        var path = Path(set, kind, model);
        Exported.Write(path.AdapterFolder!, folder.At("merged.gguf"), baseModel: path.ModelFolder);
        using var llama = new LlamaModel(folder.At("merged.gguf"));
        var ids = ModelTests.SomeIds();
        Assert.InRange(Exported.Distance(llama.Logits(ids), Exported.Logits(path, ids)), 0, 1e-5);
    }

    [Fact]
    public void An_adapter_at_which_llama_cpp_aborts_is_refused()
    {
        var path = Path("glm4-tiny", "lora_all", "model-hf");
        var error = Assert.Throws<InvalidDataException>(() =>
            GgufAdapterExport.Run(path, folder.At("adapter.gguf"), GgufType.F32, layout: null)
        );
        Assert.Contains("llama.cpp aborts", error.Message, StringComparison.Ordinal);
        Assert.False(File.Exists(folder.At("adapter.gguf")));
    }

    [Theory]
    [InlineData("lora"), InlineData("modules"), InlineData("dora")]
    public void Whole_modules_and_own_scales_are_merged_too(string kind)
    {
        var path = Saved(kind);
        Exported.Write(path.AdapterFolder!, folder.At("merged.gguf"), baseModel: path.ModelFolder);
        using var llama = new LlamaModel(folder.At("merged.gguf"));
        var ids = ModelTests.SomeIds();
        Assert.InRange(Exported.Distance(llama.Logits(ids), Exported.Logits(path, ids)), 0, 1e-5);
    }

    [Fact]
    public void Scales_that_differ_are_part_of_the_matrices()
    {
        var path = Saved("lora");
        Exported.Write(path.ModelFolder, folder.At("base.gguf"));
        GgufAdapterExport.Run(path, folder.At("adapter.gguf"), GgufType.F32, layout: null);
        using var llama = new LlamaModel(folder.At("base.gguf"));
        var ids = ModelTests.SomeIds();
        var theirs = llama.Logits(ids, folder.At("adapter.gguf"));
        Assert.InRange(Exported.Distance(theirs, Exported.Logits(path, ids)), 0, 1e-5);
    }

    private TunedPath Path(string set, string kind, string model) =>
        new(
            Exported.WithTokenizer(GoldenData.Path($"{set}/{model}"), folder.At(model)),
            GoldenData.Path($"{set}/adapter-{kind}")
        );

    private TunedPath Saved(string kind)
    {
        var path = new TunedPath(
            Exported.WithTokenizer(GoldenData.Path("glm-tiny/model-hf"), folder.At("model")),
            folder.At("adapter")
        );
        Directory.CreateDirectory(path.AdapterFolder!);
        using var model = ModelFolder.Load(path.ModelFolder, ScalarType.Float32, CPU);
        using var adapter = SampleAdapters.Attach(kind, model);
        adapter.Save(path.AdapterFolder!, path.ModelFolder);
        return path;
    }
}
