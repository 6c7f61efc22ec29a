using GlmTune.Kernels;
using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Native;
using GlmTune.Model;
using GlmTune.Model.Adapters;
using GlmTune.Testing;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Training.Tests.Adapters;

/// <summary>DoRA against PEFT.</summary>
public class GoldenDoraTests
{
    static GoldenDoraTests() => NativeRuntime.Load();

    [Theory, InlineData("model-hf"), InlineData("model-chatglm")]
    public void Dora_gives_the_reference_logits_loss_and_gradients(string folder)
    {
        using var scope = NewDisposeScope();
        using var model = ModelFolder.Load(Path.Combine(GoldenModelTests.Folder, folder), ScalarType.Float32, CPU);
        using var adapter = AdapterFolder.Load(Path.Combine(GoldenModelTests.Folder, "adapter-dora"), model);
        GoldenModelTests.CheckLogits(model, "dora");
        var gradients = GoldenModelTests.Gradients(model, recomputed: 1);
        using var expected = GoldenModelTests.Expected();
        Assert.Equal(27, adapter.Parameters.Count());
        foreach (var parameter in adapter.Parameters)
        {
            var name = parameter.Name.EndsWith(".weight", StringComparison.Ordinal)
                ? parameter.Name[..^".weight".Length]
                : parameter.Name;
            TensorAssert.Close(
                expected.Get($"dora.grad.base_model.model.{name}.default.weight"),
                gradients(parameter),
                1e-4,
                name
            );
        }
    }

    [Theory, InlineData("dora"), InlineData("lora"), InlineData("lora_all"), InlineData("lora_fused-chatglm")]
    public void A_merged_model_gives_the_logits_of_the_attached_adapter(string tag)
    {
        using var scope = NewDisposeScope();
        using var model = ModelFolder.Load(Path.Combine(GoldenModelTests.Folder, "model-hf"), ScalarType.Float32, CPU);
        using var lora = AdapterFolder.LoadLora(Path.Combine(GoldenModelTests.Folder, $"adapter-{tag}"), model);
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
        using var model = ModelFolder.Load(Path.Combine(GoldenModelTests.Folder, "model-hf"), ScalarType.Float32, CPU);
        using (var adapter = AdapterFolder.Load(Path.Combine(GoldenModelTests.Folder, "adapter-dora"), model))
        {
            adapter.Save(folder.Path, "model-hf");
            adapter.Detach(model);
        }

        using var again = AdapterFolder.LoadLora(folder.Path, model);
        Assert.True(again.Options.UseDora);
        GoldenModelTests.CheckLogits(model, "dora");
    }
}

/// <summary>A folder for one test.</summary>
internal sealed class TemporaryFolder : IDisposable
{
    public string Path { get; } = Directory.CreateTempSubdirectory("glmtune-").FullName;

    public void Dispose() => Directory.Delete(Path, recursive: true);
}
