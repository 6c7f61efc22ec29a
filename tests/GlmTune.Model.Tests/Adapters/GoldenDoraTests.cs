using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Native;
using GlmTune.Model.Adapters;
using GlmTune.Testing;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Model.Tests.Adapters;

/// <summary>Adapters that PEFT saved: merged, and saved again.</summary>
public class GoldenDoraTests
{
    private static readonly string Folder = GoldenData.Path("glm-tiny");

    static GoldenDoraTests() => NativeRuntime.Load();

    [Theory, InlineData("dora"), InlineData("lora"), InlineData("lora_all"), InlineData("lora_fused-chatglm")]
    public void A_merged_model_gives_the_logits_of_the_attached_adapter(string tag)
    {
        using var scope = NewDisposeScope();
        using var model = ModelFolder.Load(Path.Combine(Folder, "model-hf"), ScalarType.Float32, CPU);
        using var lora = AdapterFolder.LoadLora(Path.Combine(Folder, $"adapter-{tag}"), model);
        Tensor Logits() => model.Logits([3, 14, 159, 265, 35], SequenceLayout.OfRows(1, 5, CPU));
        var attached = Logits();
        lora.Merge(model);
        Assert.All(model.Layers, layer => Assert.Empty(layer.Attention.QueryKeyValue.Adapters));
        TensorAssert.Close(attached, Logits(), 3e-5, tag);
    }

    [Fact]
    public void Saved_dora_holds_what_was_loaded()
    {
        using var scope = NewDisposeScope();
        using var folder = new TemporaryFolder();
        using var model = ModelFolder.Load(Path.Combine(Folder, "model-hf"), ScalarType.Float32, CPU);
        using (var adapter = AdapterFolder.Load(Path.Combine(Folder, "adapter-dora"), model))
        {
            adapter.Save(folder.Path, "model-hf");
            adapter.Detach(model);
        }

        using var again = AdapterFolder.LoadLora(folder.Path, model);
        Assert.True(again.Options.UseDora);
        GoldenModel.CheckLogits(model, Folder, "dora");
    }
}
