using GlmTune.Kernels;
using GlmTune.Kernels.Native;
using GlmTune.Model;
using GlmTune.Model.Adapters;
using GlmTune.Testing;
using GlmTune.Training.Optimization;
using GlmTune.Training.Sharding;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Training.Tests.Adapters;

/// <summary>What holds for adapters of any values in training: gradients, and that they learn.</summary>
public class AdapterTrainingTests
{
    static AdapterTrainingTests() => NativeRuntime.Load();

    [Theory]
    [InlineData("lora", 0.0), InlineData("lora", 0.3), InlineData("dora", 0.0), InlineData("dora", 0.3)]
    [InlineData("modules", 0.0), InlineData("prefix", 0.0), InlineData("projection", 0.0)]
    public void Gradients_are_the_slopes_of_the_loss(string kind, double dropout)
    {
        using var scope = NewDisposeScope();
        using var model = Load(ScalarType.Float64);
        using var adapter = SampleAdapters.Attach(kind, model, dropout);
        using var sharding = new ReplicatedWeights(model.Units);
        var runner = new LayerRunner(model, sharding, recomputed: 1);
        using var pass = TrainingPass.Of(
            GoldenBatch.Read(Path.Combine(GoldenModelTests.Folder, "batch.json")).ToMicroBatch(),
            CPU
        );
        double Loss() => runner.ForwardBackward(pass, 1, dropoutSeed: 5).item<double>();
        Loss();
        var gradients = sharding.Trainable.Select(shard => (shard, shard.Gradient.clone())).ToList();
        foreach (var (shard, gradient) in gradients)
        {
            // DoRA counts a row's length as a constant, so only its magnitudes have the true slope; they see all layers
            // above them.
            foreach (
                var segment in shard.Segments.Where(segment =>
                    kind != "dora" || segment.Parameter.Name.EndsWith("vector", StringComparison.Ordinal)
                )
            )
            {
                using var inner = NewDisposeScope();
                var (parameter, slope) = (
                    segment.Parameter,
                    gradient.narrow(0, segment.Start, segment.Parameter.Count).view(segment.Parameter.Shape)
                );
                var direction = SeededRandom.Normal(parameter, seed: 3, deviation: 1);
                const double step = 1e-5;
                parameter.Value.AddInPlace(direction.Multiply(step));
                var above = Loss();
                parameter.Value.AddInPlace(direction.Multiply(-2 * step));
                var below = Loss();
                parameter.Value.AddInPlace(direction.Multiply(step));
                var expected = (above - below) / (2 * step);
                Assert.True(Math.Abs(expected) > 1e-6, $"{parameter.Name}: the loss does not depend on it.");
                var ratio = (slope * direction).sum().item<double>() / expected;
                Assert.True(Math.Abs(ratio - 1) < 1e-4, $"{parameter.Name}: {ratio} times the slope.");
            }
        }
    }

    [Theory, InlineData(0.0), InlineData(0.3)]
    public void Dora_whose_magnitudes_are_the_lengths_is_Lora(double dropout)
    {
        using var scope = NewDisposeScope();
        var results = new List<(double Loss, Dictionary<string, Tensor> Gradients)>();
        foreach (var dora in new[] { false, true })
        {
            using var model = Load(ScalarType.Float64);
            using var lora = Lora.Attach(
                model,
                new LoraOptions
                {
                    Rank = 3,
                    Dropout = dropout,
                    UseDora = dora,
                    TargetModules = LoraTargets.FromNames("k_proj", "v_proj", "down_proj"),
                    InitWeights = LoraInitialization.Random,
                }
            );
            lora.Initialize(2);
            using var sharding = new ReplicatedWeights(model.Units);
            using var pass = TrainingPass.Of(
                GoldenBatch.Read(Path.Combine(GoldenModelTests.Folder, "batch.json")).ToMicroBatch(),
                CPU
            );
            var loss = new LayerRunner(model, sharding, recomputed: 1)
                .ForwardBackward(pass, 1, dropoutSeed: 5)
                .item<double>();
            results.Add(
                (
                    loss,
                    sharding
                        .Trainable.SelectMany(shard =>
                            shard.Segments.Select(segment =>
                                (
                                    segment.Parameter.Name,
                                    shard.Gradient.narrow(0, segment.Start, segment.Parameter.Count).clone()
                                )
                            )
                        )
                        .ToDictionary()
                )
            );
        }

        Assert.Equal(results[0].Loss, results[1].Loss, 1e-9);
        foreach (var (name, gradient) in results[0].Gradients)
        {
            TensorAssert.Close(gradient, results[1].Gradients[name], 1e-9, name);
        }
    }

    [
        Theory,
        InlineData("prefix", PrefixInitialization.Normal),
        InlineData("projection", PrefixInitialization.Normal),
        InlineData("projection", PrefixInitialization.Zero)
    ]
    public void A_prefix_learns_whether_projected_or_not(string kind, PrefixInitialization initialization)
    {
        using var model = Load();
        using var adapter = PrefixTuning.Attach(
            model,
            new PrefixTuningOptions
            {
                VirtualTokens = 6,
                Projection = kind == "projection",
                EncoderHiddenSize = 24,
                Initialization = initialization,
            }
        );
        adapter.Initialize(7);
        using var sharding = new ReplicatedWeights(model.Units);
        var options = new OptimizerOptions { LearningRate = 0.05 };
        var trainer = new Trainer(
            new LayerRunner(model, sharding, recomputed: 1),
            sharding,
            options,
            new LearningRateSchedule(0.05, new ScheduleOptions(), 10),
            seed: 1
        );
        var batch = GoldenBatch.Read(Path.Combine(GoldenModelTests.Folder, "batch.json")).ToMicroBatch();
        var reports = Enumerable
            .Range(0, 10)
            .Select(_ => trainer.Step(new([batch], batch.SupervisedTokens, 3, default, 0)))
            .ToList();
        Assert.True(reports[^1].Loss < reports[0].Loss - 0.2, $"{reports[0].Loss} to {reports[^1].Loss}");
        // What the model computes now is what the last update left, by itself too.
        using var pass = TrainingPass.Of(batch, CPU);
        var own = model.Loss(pass.TokenIds, pass.Sequences, pass.Targets);
        using var same = TrainingPass.Of(batch, CPU);
        using var again = trainer.Runner.ForwardBackward(same, gradientScale: 0, dropoutSeed: null);
        Assert.Equal(again.item<float>(), own, 1e-4);
    }

    private static DecoderModel Load(ScalarType type = ScalarType.Float32) =>
        ModelFolder.Load(Path.Combine(GoldenModelTests.Folder, "model-hf"), type, CPU);
}
