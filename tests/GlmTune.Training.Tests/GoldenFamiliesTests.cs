using System.Text.Json;
using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Native;
using GlmTune.Model;
using GlmTune.Model.Adapters;
using GlmTune.Testing;
using GlmTune.Training.Optimization;
using GlmTune.Training.Sharding;
using GlmTune.Weights;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Training.Tests;

/// <summary>GLM-4's relatives against transformers and PEFT: "glm4-tiny" has output norms, "edge-tiny" a tied
/// head.</summary>
public class GoldenFamiliesTests
{
    static GoldenFamiliesTests() => NativeRuntime.Load();

    [Theory, InlineData("glm4-tiny"), InlineData("edge-tiny")]
    public void Logits_loss_and_hidden_states_equal_the_reference(string family)
    {
        using var scope = NewDisposeScope();
        using var model = Load(family);
        GoldenModel.CheckLogits(model, GoldenData.Path(family), "base");
        using var expected = Expected(family);
        var row = GoldenBatch.Read(GoldenData.Path($"{family}/batch.json")).ToMicroBatch(0);
        using var sequences = new SequenceLayout(row.SequenceStarts, CPU);
        using var context = model.Context(sequences);
        var x = model.Embedding.Forward(model.Ids(row.TokenIds), model.Kernels);
        foreach (var layer in model.Layers)
        {
            var wanted = expected.Get($"base.hidden.{layer.Number}");
            TensorAssert.Close(wanted.reshape(-1, wanted.shape[^1]), x, 1e-5, $"before layer {layer.Number}");
            x = layer.Forward(x, context, tape: null);
        }
    }

    [Theory]
    [InlineData("glm4-tiny", 0), InlineData("glm4-tiny", 3), InlineData("glm4-tiny", 2)]
    [InlineData("edge-tiny", 0), InlineData("edge-tiny", 3)]
    public void Every_gradient_of_the_base_equals_the_reference_kept_or_recomputed(string family, int recomputed)
    {
        using var scope = NewDisposeScope();
        using var model = Load(family);
        foreach (var parameter in model.BaseParameters)
        {
            parameter.Trainable = true;
        }

        var gradients = GoldenModelTests.Gradients(model, recomputed, GoldenData.Path(family));
        using var expected = Expected(family);
        var compared = 0;
        foreach (var slice in model.Names.Weights(model, CheckpointLayout.Library))
        {
            var actual = gradients(slice.Parameter).narrow(0, slice.FirstRow, slice.Rows);
            TensorAssert.Close(expected.Get($"base.grad.{slice.Name}"), actual, 1e-4, slice.Name);
            compared++;
        }

        Assert.Equal(
            expected.Tensors.Count(stored => stored.Name.StartsWith("base.grad.", StringComparison.Ordinal)),
            compared
        );
    }

    [Theory]
    [InlineData("glm4-tiny", "lora"), InlineData("glm4-tiny", "lora_all"), InlineData("glm4-tiny", "dora")]
    [InlineData("edge-tiny", "lora"), InlineData("edge-tiny", "lora_all"), InlineData("edge-tiny", "dora")]
    public void Adapters_give_the_reference_logits_and_gradients(string family, string tag)
    {
        using var scope = NewDisposeScope();
        using var model = Load(family);
        using var lora = AdapterFolder.LoadLora(GoldenData.Path($"{family}/adapter-{tag}"), model, dropout: 0);
        GoldenModel.CheckLogits(model, GoldenData.Path(family), tag);
        var gradients = GoldenModelTests.Gradients(model, recomputed: 1, GoldenData.Path(family));
        using var expected = Expected(family);
        foreach (var parameter in lora.Parameters)
        {
            var key = expected
                .Tensors.Select(stored => stored.Name)
                .First(stored =>
                    stored.StartsWith($"{tag}.grad.", StringComparison.Ordinal)
                    && Plain(stored).EndsWith(Plain(parameter.Name), StringComparison.Ordinal)
                );
            TensorAssert.Close(expected.Get(key).reshape(parameter.Shape), gradients(parameter), 1e-4, key);
        }
    }

    [Theory, InlineData("glm4-tiny"), InlineData("edge-tiny")]
    public void A_prefix_gives_the_reference_logits_of_a_row_without_padding(string family)
    {
        using var scope = NewDisposeScope();
        using var model = Load(family);
        using var prefix = AdapterFolder.Load(GoldenData.Path($"{family}/adapter-prefix"), model);
        using var expected = Expected(family);
        var batch = GoldenBatch.Read(GoldenData.Path($"{family}/batch.json"));
        using var pass = TrainingPass.Of(batch.ToMicroBatch(0), CPU);
        TensorAssert.Close(
            expected.Get("prefix.logits")[0],
            model.Logits(pass.TokenIds, pass.Sequences),
            2e-5,
            "logits"
        );
    }

    // Large gradients multiply rounding in the other trajectories, so their starts are compared.
    [Theory]
    [InlineData("glm4-tiny", "full", 20), InlineData("glm4-tiny", "lora", 2), InlineData("glm4-tiny", "prefix", 20)]
    [InlineData("edge-tiny", "full", 2), InlineData("edge-tiny", "lora", 2), InlineData("edge-tiny", "prefix", 2)]
    public void Steps_follow_the_reference_trajectory(string family, string kind, int compared)
    {
        using var scope = NewDisposeScope();
        using var model = Load(family);
        using IAdapter? adapter =
            kind == "full" ? null
            : kind == "lora" ? AdapterFolder.LoadLora(GoldenData.Path($"{family}/adapter-lora"), model, dropout: 0)
            : AdapterFolder.Load(GoldenData.Path($"{family}/adapter-{kind}"), model);
        foreach (var parameter in kind == "full" ? model.BaseParameters : [])
        {
            parameter.Trainable = true;
        }

        using var json = JsonDocument.Parse(File.ReadAllBytes(GoldenData.Path($"{family}/trajectories.json")));
        var steps = json.RootElement.GetProperty(kind).EnumerateArray().ToList();
        using var sharding = new ReplicatedWeights(model.Units);
        var options = new OptimizerOptions
        {
            LearningRate = steps[0].GetProperty("lr").GetDouble(),
            MaxGradientNorm = 1,
        };
        var trainer = new Trainer(
            new LayerRunner(model, sharding, recomputed: 1),
            sharding,
            options,
            new LearningRateSchedule(options.LearningRate, new ScheduleOptions(), steps.Count),
            seed: 1
        );
        foreach (var step in steps.Take(compared))
        {
            var report = trainer.Step(GoldenModelTests.Batch(step));
            GoldenModelTests.Near(step.GetProperty("loss").GetDouble(), report.Loss, 1e-3);
            GoldenModelTests.Near(
                step.GetProperty("grad_norm").GetDouble(),
                report.GradientNorm,
                kind == "full" ? 1e-3 : 1e-2
            );
        }
    }

    [Theory, InlineData("glm4-tiny"), InlineData("edge-tiny")]
    public void A_merged_model_and_a_saved_one_give_the_logits_of_the_attached_adapter(string family)
    {
        using var scope = NewDisposeScope();
        using var folder = new TemporaryFolder();
        using var model = Load(family);
        using var lora = AdapterFolder.LoadLora(GoldenData.Path($"{family}/adapter-lora_all"), model);
        Tensor Logits(DecoderModel asked) => asked.Logits([3, 14, 159, 265, 35], SequenceLayout.OfRows(1, 5, CPU));
        var attached = Logits(model);
        lora.Merge(model);
        TensorAssert.Close(attached, Logits(model), 3e-5, "merged");
        ModelFolder.Save(model, folder.Path, CheckpointLayout.Library, ScalarType.Float32);
        using var saved = ModelFolder.Load(folder.Path, ScalarType.Float32, CPU);
        TensorAssert.Close(Logits(model), Logits(saved), 0, "saved");
        Assert.Throws<InvalidDataException>(() =>
            ModelFolder.Save(model, folder.Path, CheckpointLayout.Original, ScalarType.Float32)
        );
    }

    private static string Plain(string name) =>
        name.Replace(".default", "", StringComparison.Ordinal).Replace(".weight", "", StringComparison.Ordinal);

    private static DecoderModel Load(string family) =>
        ModelFolder.Load(GoldenData.Path($"{family}/model-hf"), ScalarType.Float32, CPU);

    private static WeightFiles Expected(string family) =>
        WeightFiles.Open(GoldenData.Path($"{family}/expected.safetensors"));
}
