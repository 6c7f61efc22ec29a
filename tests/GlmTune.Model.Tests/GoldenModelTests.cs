using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Native;
using GlmTune.Testing;
using GlmTune.Weights;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Model.Tests;

/// <summary>The model against transformers.</summary>
public class GoldenModelTests
{
    private static readonly string Folder = GoldenData.Path("glm-tiny");

    static GoldenModelTests() => NativeRuntime.Load();

    [Theory, InlineData("model-hf"), InlineData("model-chatglm")]
    public void Logits_and_loss_equal_the_reference(string folder)
    {
        using var scope = NewDisposeScope();
        using var model = ModelFolder.Load(Path.Combine(Folder, folder), ScalarType.Float32, CPU);
        GoldenModel.CheckLogits(model, Folder, "base");
    }

    [Theory, InlineData("model-hf"), InlineData("model-chatglm")]
    public void Hidden_states_equal_the_reference_after_every_layer(string folder)
    {
        using var scope = NewDisposeScope();
        using var model = ModelFolder.Load(Path.Combine(Folder, folder), ScalarType.Float32, CPU);
        using var expected = WeightFiles.Open(Path.Combine(Folder, "expected.safetensors"));
        var batch = GoldenBatch.Read(Path.Combine(Folder, "batch.json"));
        var row = batch.ToMicroBatch(0);
        using var sequences = new SequenceLayout(row.SequenceStarts, CPU);
        using var context = model.Context(sequences);
        var x = model.Embedding.Forward(model.Ids(row.TokenIds), model.Kernels);
        for (var i = 0; i <= model.Layers.Count; i++)
        {
            // The library's last hidden state is the one after the final norm.
            var shown = i == model.Layers.Count ? model.Head.Normalise(x, model.Kernels) : x;
            var wanted = expected.Get($"base.hidden.{i}");
            TensorAssert.Close(wanted.reshape(-1, wanted.shape[^1]), shown, 1e-5, $"hidden state {i}");
            x = i < model.Layers.Count ? model.Layers[i].Forward(x, context, tape: null) : x;
        }
    }
}
