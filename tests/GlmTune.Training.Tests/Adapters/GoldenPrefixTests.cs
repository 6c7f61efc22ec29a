using System.Text.Json;
using GlmTune.Kernels;
using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Native;
using GlmTune.Model;
using GlmTune.Model.Adapters;
using GlmTune.Model.Layers;
using GlmTune.Testing;
using GlmTune.Training.Optimization;
using GlmTune.Training.Sharding;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Training.Tests.Adapters;

/// <summary>Prefixes against PEFT.</summary>
public class GoldenPrefixTests
{
    static GoldenPrefixTests() => NativeRuntime.Load();

    [Theory, InlineData("model-hf"), InlineData("model-chatglm")]
    public void A_prefix_gives_the_reference_logits_of_a_row_without_padding(string folder)
    {
        using var scope = NewDisposeScope();
        using var model = ModelFolder.Load(Path.Combine(GoldenModelTests.Folder, folder), ScalarType.Float32, CPU);
        using var prefix = AdapterFolder.Load(
            Path.Combine(GoldenModelTests.Folder, "adapter-prefix"),
            model,
            positions: PrefixPositions.Library
        );
        using var expected = GoldenModelTests.Expected();
        using var pass = TrainingPass.Of(Golden().ToMicroBatch(0), CPU);
        TensorAssert.Close(
            expected.Get("prefix.logits")[0],
            model.Logits(pass.TokenIds, pass.Sequences),
            2e-5,
            "logits"
        );
    }

    [Theory, InlineData(0), InlineData(3)]
    public void Loss_and_gradients_equal_the_reference_where_padding_counts_as_it_does_there(int recomputed)
    {
        using var scope = NewDisposeScope();
        using var model = ModelFolder.Load(Path.Combine(GoldenModelTests.Folder, "model-hf"), ScalarType.Float32, CPU);
        using var prefix = AdapterFolder.LoadPrefix(Path.Combine(GoldenModelTests.Folder, "adapter-prefix"), model);
        using var sharding = new ReplicatedWeights(model.Units);
        var loss = AddGoldenGradients(new LayerRunner(model, sharding, recomputed));
        using var expected = GoldenModelTests.Expected();
        GoldenModelTests.Near(expected.Get("prefix.loss").item<float>(), loss, 1e-5);
        var gradient = prefix.PromptEmbeddings(parameter => GradientOf(parameter, sharding));
        TensorAssert.Close(
            expected.Get("prefix.grad.prompt_encoder.default.embedding.weight"),
            gradient,
            1e-4,
            "gradient"
        );
    }

    [Fact]
    public void Twenty_steps_follow_the_reference_trajectory()
    {
        using var scope = NewDisposeScope();
        using var model = ModelFolder.Load(Path.Combine(GoldenModelTests.Folder, "model-hf"), ScalarType.Float32, CPU);
        using var prefix = AdapterFolder.LoadPrefix(Path.Combine(GoldenModelTests.Folder, "adapter-prefix"), model);
        using var json = JsonDocument.Parse(
            File.ReadAllBytes(Path.Combine(GoldenModelTests.Folder, "trajectories.json"))
        );
        var steps = json.RootElement.GetProperty("prefix").EnumerateArray().ToList();
        using var sharding = new ReplicatedWeights(model.Units);
        var options = new OptimizerOptions
        {
            LearningRate = steps[0].GetProperty("lr").GetDouble(),
            MaxGradientNorm = 1,
        };
        var schedule = new LearningRateSchedule(options.LearningRate, new ScheduleOptions(), steps.Count);
        var trainer = new Trainer(
            new LayerRunner(model, sharding, recomputed: 1),
            sharding,
            options,
            schedule,
            seed: 1
        );
        // The reference took the golden gradients of batch.json with the same adapter and did not clear them before its
        // first step.
        AddGoldenGradients(trainer.Runner);
        foreach (var step in steps)
        {
            var report = trainer.Step(GoldenModelTests.Batch(step));
            GoldenModelTests.Near(step.GetProperty("loss").GetDouble(), report.Loss, 1e-3);
            GoldenModelTests.Near(step.GetProperty("grad_norm").GetDouble(), report.GradientNorm, 1e-2);
        }
    }

    // The reference counts padding in positions, so each row stands by itself here, shifted by its padding.
    private static double AddGoldenGradients(LayerRunner runner)
    {
        var batch = Golden();
        var all = batch.ToMicroBatch();
        var (offset, loss) = (runner.Model.PositionOffset, 0.0);
        for (var row = 0; row < batch.Ids.Length; row++)
        {
            runner.Model.PositionOffset = offset + batch.PaddingOf(row);
            using var pass = TrainingPass.Of(batch.ToMicroBatch(row), CPU);
            using var part = runner.ForwardBackward(pass, 1.0 / all.SupervisedTokens, dropoutSeed: null);
            loss += part.item<float>() / all.SupervisedTokens;
        }

        runner.Model.PositionOffset = offset;
        return loss;
    }

    private static Tensor GradientOf(Parameter parameter, ReplicatedWeights sharding)
    {
        var shard = sharding.Trainable.Single(shard => shard.Segments.Any(segment => segment.Parameter == parameter));
        return shard
            .Gradient.narrow(0, shard.Segments.Single(segment => segment.Parameter == parameter).Start, parameter.Count)
            .view(parameter.Shape);
    }

    private static GoldenBatch Golden() => GoldenBatch.Read(Path.Combine(GoldenModelTests.Folder, "batch.json"));
}
