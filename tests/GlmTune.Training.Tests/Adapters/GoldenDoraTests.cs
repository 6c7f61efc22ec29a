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
        GoldenModel.CheckLogits(model, GoldenModelTests.Folder, "dora");
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
}
