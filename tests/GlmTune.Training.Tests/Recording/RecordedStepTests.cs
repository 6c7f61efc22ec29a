using GlmTune.Data.Batching;
using GlmTune.Kernels.Native;
using GlmTune.Model;
using GlmTune.Model.Adapters;
using GlmTune.Model.Glm4;
using GlmTune.Testing;
using GlmTune.Training.Optimization;
using GlmTune.Training.Recording;
using GlmTune.Training.Sharding;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Training.Tests.Recording;

/// <summary>Passes that are filled up to a shape, read their numbers from memory and are replayed give what ordinary passes give.</summary>
public class RecordedStepTests
{
    private static readonly OptimizerOptions Optimizer = new() { LearningRate = 2e-3, WeightDecay = 0.1, MaxGradientNorm = 0.5 };

    static RecordedStepTests() => NativeRuntime.Load();

    [Theory, InlineData("lora", 0), InlineData("lora", 2), InlineData("prefix", 0), InlineData("all", 0)]
    public void Filled_up_passes_give_the_losses_and_weights_of_ordinary_ones(string kind, int recomputed)
    {
        using var model = ModelFolder.Load(Path.Combine(GoldenModelTests.Folder, "model-hf"), ScalarType.Float64, CPU);
        var ordinary = Train(model, kind, recomputed, filledUp: false);
        var recorded = Train(model, kind, recomputed, filledUp: true);
        Assert.All(ordinary.Losses.Zip(recorded.Losses), pair => Assert.Equal(pair.First, pair.Second, 1e-9));
        Assert.Equal(0, (ordinary.Weights - recorded.Weights).abs().max().item<double>(), 1e-8);
        Assert.NotEqual(ordinary.Losses[0], ordinary.Losses[^1]);
        ordinary.Weights.Dispose();
        recorded.Weights.Dispose();
    }

    [Fact]
    public void A_shape_has_room_for_the_pass_and_few_passes_have_a_shape_of_their_own()
    {
        using var scope = NewDisposeScope();
        var shapes = new HashSet<PassShape>();
        for (var tokens = 2; tokens <= 512; tokens += 3)
        {
            using var pass = TrainingPass.Of(Rows(new Random(tokens), 600, tokens), CPU);
            var shape = PassShape.Of(pass, drops: true, recomputed: 0);
            Assert.InRange(pass.TokenIds.Length, 1, shape.Tokens);
            Assert.InRange(pass.Targets.Count, 1, shape.Targets);
            Assert.InRange(pass.Sequences.Count, 1, shape.Sequences - 1);
            shapes.Add(shape);
        }
        Assert.InRange(shapes.Count, 1, 16);
    }

    [Fact]
    public void A_step_that_is_not_finite_changes_nothing()
    {
        using var model = ModelFolder.Load(Path.Combine(GoldenModelTests.Folder, "model-hf"), ScalarType.Float32, CPU);
        using var adapter = Attach(model, "lora");
        using var sharding = new ReplicatedWeights(model.Units);
        using var trainer = NewTrainer(model, sharding, 0, filledUp: true);
        for (var step = 0; step < 3; step++)
        {
            trainer.Step(Step(1, 600, 20));
        }
        using var before = Weights(sharding);
        var norm = model.Head.Norm.Value;
        norm.mul_(double.NaN);
        Assert.Throws<NonFiniteStepException>(() => trainer.Step(Step(1, 600, 20)));
        using var after = Weights(sharding);
        Assert.True(before.equal(after).all().item<bool>());
        norm.fill_(1);
        Assert.True(double.IsFinite(trainer.Step(Step(1, 600, 20)).GradientNorm));
    }

    [Theory, InlineData("lora"), InlineData("prefix")]
    public void Steps_recorded_on_a_GPU_give_the_losses_and_weights_of_ordinary_ones(string kind)
    {
        var device = NativeRuntime.DefaultDevice();
        Assert.SkipUnless(device.type == DeviceType.CUDA, "There is no GPU.");
        using var model = new Glm4Model(Glm4Config.Glm4_9B with { LayerCount = 3 }, ScalarType.BFloat16, device);
        model.InitializeRandomly(1);
        var ordinary = Train(model, kind, 1, filledUp: false);
        var again = Train(model, kind, 1, filledUp: false);
        var recorded = Train(model, kind, 1, filledUp: true);
        Assert.True(recorded.Graphs >= 3, $"{recorded.Graphs} graphs; refused: {recorded.Refusal}");
        Assert.All(ordinary.Losses.Zip(recorded.Losses), pair => Assert.Equal(pair.First, pair.Second, 5e-2));
        // AdamW's first steps have the gradients' signs, so weights tell little more than that nothing is far off.
        var noise = (ordinary.Weights - again.Weights).square().mean().sqrt().item<double>();
        var difference = (ordinary.Weights - recorded.Weights).square().mean().sqrt().item<double>();
        var moved = ordinary.Weights.square().mean().sqrt().item<double>();
        Assert.True(difference < Math.Max(4 * noise, 0.2 * moved), $"difference {difference}, noise {noise}, weights {moved}");
    }

    private static (List<double> Losses, Tensor Weights, int Graphs, string? Refusal) Train(Glm4Model model, string kind, int recomputed, bool filledUp)
    {
        using var start = kind == "all" ? new Saved(model) : null;
        using var adapter = Attach(model, kind);
        using var sharding = new ReplicatedWeights(model.Units);
        using var trainer = NewTrainer(model, sharding, recomputed, filledUp);
        var losses = new List<double>();
        // The same shapes come twice and more; one and two rows; one and two micro-batches a step.
        foreach (var (seed, lengths) in ((int, int[][])[])[(1, [[20]]), (2, [[33], [9]]), (3, [[50]]), (4, [[12, 30], [64]]), (5, [[7, 70], [5]]), (6, [[41, 41]]), (7, [[64]])])
        {
            losses.Add(trainer.Step(Step(seed, (int)model.Config.VocabularySize, lengths)).Loss);
        }
        var result = (losses, Weights(sharding), trainer.Recorder?.Count ?? 0, trainer.Recorder?.Refusal);
        (adapter as Lora)?.Detach(model);
        if (kind == "prefix")
        {
            foreach (var layer in model.Layers)
            {
                layer.Attention.Prefix = null;
            }
        }
        return result;
    }

    private static Trainer NewTrainer(Glm4Model model, ReplicatedWeights sharding, int recomputed, bool filledUp)
    {
        var runner = new LayerRunner(model, sharding, recomputed);
        var schedule = new LearningRateSchedule(Optimizer.LearningRate, new ScheduleOptions(), 100);
        return filledUp && model.Device.type == DeviceType.CPU
            ? new Trainer(runner, sharding, Optimizer, schedule, seed: 3) { Recorder = StepRecorder.WithoutGraphs(runner, sharding, Optimizer) }
            : new Trainer(runner, sharding, Optimizer, schedule, seed: 3) { RecordsSmallSteps = filledUp };
    }

    private static IAdapter? Attach(Glm4Model model, string kind)
    {
        switch (kind)
        {
            case "lora":
                var lora = Lora.Attach(model, new LoraOptions { Rank = 8, Alpha = 16, Dropout = 0.1, InitWeights = LoraInitialization.Random });
                lora.Initialize(5);
                return lora;
            case "prefix":
                var prefix = PrefixTuning.Attach(model, new PrefixTuningOptions { VirtualTokens = 3, Initialization = PrefixInitialization.Normal });
                prefix.Initialize(5);
                return prefix;
            default:
                foreach (var parameter in model.BaseParameters)
                {
                    parameter.Trainable = true;
                }
                return null;
        }
    }

    private static Tensor Weights(ReplicatedWeights sharding)
        => cat([.. sharding.Trainable.Select(shard => shard.Master)]).to_type(ScalarType.Float64).cpu();

    private static StepBatches Step(int seed, int vocabulary, params int[][] lengths)
    {
        var random = new Random(seed);
        MicroBatch[] batches = [.. lengths.Select(rows => Rows(random, vocabulary, rows))];
        return new StepBatches(batches, batches.Sum(batch => batch.SupervisedTokens), batches.Length, default, 0);
    }

    private static StepBatches Step(int seed, int vocabulary, int length) => Step(seed, vocabulary, [[length]]);

    private static MicroBatch Rows(Random random, int vocabulary, params int[] lengths)
    {
        var starts = new List<int> { 0 };
        foreach (var length in lengths)
        {
            starts.Add(starts[^1] + length);
        }
        int[] ids = [.. Enumerable.Range(0, starts[^1]).Select(_ => random.Next(vocabulary))];
        int[] labels = [.. ids.Select((id, i) => starts.Contains(i) || random.Next(3) == 0 ? MicroBatch.Ignored : id)];
        labels[1] = ids[1];
        return new MicroBatch
        {
            Rows = 1,
            Length = ids.Length,
            TokenIds = ids,
            Labels = labels,
            Positions = new int[ids.Length],
            Padding = [0],
            SequenceStarts = [.. starts],
            SupervisedTokens = labels.Count(label => label != MicroBatch.Ignored),
            Examples = [.. lengths],
        };
    }

    // Puts the base weights back.
    private sealed class Saved : IDisposable
    {
        private readonly List<(GlmTune.Model.Layers.Parameter Parameter, Tensor Value)> values;

        public Saved(Glm4Model model)
            => values = [.. model.BaseParameters.Select(parameter => (parameter, parameter.Value.clone().DetachFromDisposeScope()))];

        public void Dispose() => values.ForEach(pair =>
        {
            pair.Parameter.Value = pair.Value;
            pair.Parameter.Trainable = false;
        });
    }
}
