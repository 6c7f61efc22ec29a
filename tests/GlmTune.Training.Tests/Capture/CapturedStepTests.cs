using GlmTune.Data.Batching;
using GlmTune.Kernels;
using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Native;
using GlmTune.Model;
using GlmTune.Model.Adapters;
using GlmTune.Model.Glm4;
using GlmTune.Testing;
using GlmTune.Training.Capture;
using GlmTune.Training.Optimization;
using GlmTune.Training.Sharding;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Training.Tests.Capture;

/// <summary>Passes that are filled up to a shape, read their numbers from memory and are replayed give what ordinary
/// passes give.</summary>
public class CapturedStepTests
{
    private static readonly OptimizerOptions Optimizer = new()
    {
        LearningRate = 2e-3,
        WeightDecay = 0.1,
        MaxGradientNorm = 0.5,
    };

    static CapturedStepTests() => NativeRuntime.Load();

    [Theory, InlineData("lora", 0), InlineData("lora", 2), InlineData("prefix", 0), InlineData("all", 0)]
    public void Filled_up_passes_give_the_losses_and_weights_of_ordinary_ones(string kind, int recomputed)
    {
        using var model = ModelFolder.Load(Path.Combine(GoldenModelTests.Folder, "model-hf"), ScalarType.Float64, CPU);
        var ordinary = Train(model, kind, recomputed, filledUp: false);
        var captured = Train(model, kind, recomputed, filledUp: true);
        Assert.All(ordinary.Losses.Zip(captured.Losses), pair => Assert.Equal(pair.First, pair.Second, 1e-9));
        Assert.Equal(0, (ordinary.Weights - captured.Weights).abs().max().item<double>(), 1e-8);
        Assert.NotEqual(ordinary.Losses[0], ordinary.Losses[^1]);
        ordinary.Weights.Dispose();
        captured.Weights.Dispose();
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
    public void Memory_for_recordings_holds_the_gradients_of_what_is_trained()
    {
        using var model = ModelFolder.Load(Path.Combine(GoldenModelTests.Folder, "model-hf"), ScalarType.Float32, CPU);
        using var sharding = new ReplicatedWeights(model.Units);
        var runner = new LayerRunner(model, sharding, 0);
        var frozen = StepCapture.BytesFor(runner, 128);
        model.Embedding.Weight.Trainable = true;
        Assert.InRange(
            StepCapture.BytesFor(runner, 128) - frozen,
            model.Embedding.Weight.Count * 4,
            model.Embedding.Weight.Count * 8
        );
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
        norm.MultiplyInPlace(double.NaN);
        Assert.Throws<RejectedStepException>(() => trainer.Step(Step(1, 600, 20)));
        using var after = Weights(sharding);
        Assert.True(before.equal(after).all().item<bool>());
        norm.FillInPlace(1);
        Assert.True(double.IsFinite(trainer.Step(Step(1, 600, 20)).GradientNorm));
    }

    [Theory, InlineData(0), InlineData(1), InlineData(2)]
    public void Weights_and_moments_that_are_not_finite_are_named_before_they_are_saved(int which)
    {
        using var model = ModelFolder.Load(Path.Combine(GoldenModelTests.Folder, "model-hf"), ScalarType.Float32, CPU);
        using var adapter = Attach(model, "lora");
        using var sharding = new ReplicatedWeights(model.Units);
        using var trainer = NewTrainer(model, sharding, 0, filledUp: true);
        trainer.Step(Step(1, 600, 20));
        trainer.CheckFinite();
        using var scope = NewDisposeScope();
        var shard = sharding.Trainable[^1];
        Tensor[] tensors = [shard.Master, shard.Moments.First, shard.Moments.Second];
        tensors[which].narrow(0, 3, 1).FillInPlace(double.PositiveInfinity);
        var error = Assert.Throws<InvalidDataException>(trainer.CheckFinite);
        Assert.StartsWith("After step 1, weights or optimizer state are not finite: ", error.Message);
        Assert.Contains(shard.Segments[0].Parameter.Name, error.Message, StringComparison.Ordinal);
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
        var captured = Train(model, kind, 1, filledUp: true);
        Assert.True(captured.Graphs >= 3, $"{captured.Graphs} graphs; refused: {captured.Refusal}");
        Assert.All(ordinary.Losses.Zip(captured.Losses), pair => Assert.Equal(pair.First, pair.Second, 5e-2));
        // AdamW's first steps have the gradients' signs, so weights tell little more than that nothing is far off.
        var noise = (ordinary.Weights - again.Weights).Square().mean().sqrt().item<double>();
        var difference = (ordinary.Weights - captured.Weights).Square().mean().sqrt().item<double>();
        var moved = ordinary.Weights.Square().mean().sqrt().item<double>();
        Assert.True(
            difference < Math.Max(4 * noise, 0.2 * moved),
            $"difference {difference}, noise {noise}, weights {moved}"
        );
    }

    [Theory, InlineData("lora"), InlineData("prefix")]
    public void Every_replay_on_a_GPU_gives_the_loss_and_gradients_of_the_ordinary_pass(string kind)
    {
        var device = NativeRuntime.DefaultDevice();
        Assert.SkipUnless(device.type == DeviceType.CUDA, "There is no GPU.");
        using var model = new Glm4Model(Glm4Config.Glm4_9B with { LayerCount = 6 }, ScalarType.BFloat16, device);
        model.InitializeRandomly(1);
        using var adapter = Attach(model, kind);
        using var sharding = new ReplicatedWeights(model.Units);
        var runner = new LayerRunner(model, sharding, recomputed: 1);
        using var capture = StepCapture.TryCreate(runner, sharding, Optimizer)!;
        var found = new List<string>();
        for (var round = 0; round < 6; round++)
        {
            using var scope = NewDisposeScope();
            using var pass = TrainingPass.Of(Rows(new Random(round), model.Config.VocabularySize, 175 + round), device);
            var scale = 1.0 / pass.Targets.Count;
            var loss = runner.ForwardBackward(pass, scale, dropoutSeed: 77 + round).item<float>();
            var expected = TakeGradients(sharding);
            var again = runner.ForwardBackward(pass, scale, dropoutSeed: 77 + round).item<float>();
            var noise = Relative(TakeGradients(sharding), expected);
            var captured = capture.Passes.TryRun(pass, scale, dropoutSeed: 77 + round);
            if (captured is null)
            {
                Assert.Equal(0, round); // a shape is captured when it comes for the second time
                continue;
            }

            var difference = Relative(TakeGradients(sharding), expected);
            found.Add(
                $"round {round}: loss {loss}, again {again}, captured {captured.item<float>()}; gradients "
                    + $"{difference:F4}, noise {noise:F4}"
            );
            Assert.True(
                Math.Abs(captured.item<float>() / loss - 1) < 2e-3 && difference < 0.1,
                string.Join('\n', found)
            );
        }

        Assert.True(capture.Count == 1, capture.Refusal);
        TestContext.Current.TestOutputHelper?.WriteLine(string.Join('\n', found));
    }

    [Fact]
    public void Every_recorded_update_on_a_GPU_is_the_ordinary_one()
    {
        var device = NativeRuntime.DefaultDevice();
        Assert.SkipUnless(device.type == DeviceType.CUDA, "There is no GPU.");
        using var model = new Glm4Model(Glm4Config.Glm4_9B with { LayerCount = 2 }, ScalarType.BFloat16, device);
        model.InitializeRandomly(1);
        using var adapter = Attach(model, "lora");
        using var sharding = new ReplicatedWeights(model.Units);
        var runner = new LayerRunner(model, sharding, recomputed: 0);
        using var capture = StepCapture.TryCreate(runner, sharding, Optimizer)!;
        for (var step = 1; step <= 4; step++)
        {
            using var scope = NewDisposeScope();
            var expected = new List<Tensor>();
            var rate = 1e-2 / step;
            foreach (var shard in sharding.Trainable)
            {
                shard.Gradient.normal_(0, 1e-3 * step);
            }

            var norm = GradientNorm.Of(sharding);
            var clip = GradientNorm.ClipFactor(norm, Optimizer.MaxGradientNorm);
            foreach (var shard in sharding.Trainable)
            {
                var (master, first, second) = (
                    shard.Master.clone(),
                    shard.Moments.First.clone(),
                    shard.Moments.Second.clone()
                );
                var settings = new AdamWStep(
                    rate,
                    Optimizer.Beta1,
                    Optimizer.Beta2,
                    Optimizer.Epsilon,
                    shard.Decays ? Optimizer.WeightDecay : 0,
                    step
                );
                model.Kernels.AdamW(master, shard.Gradient, first, second, clip, settings);
                expected.AddRange([master, first, second]);
            }

            var (loss, measured) = capture.Update.Measure(tensor(2.5f * step).to(device));
            capture.Update.Apply(rate, step);
            Assert.Equal((2.5 * step, norm.item<float>()), (loss, (float)measured));
            var actual = sharding
                .Trainable.SelectMany(shard => new[] { shard.Master, shard.Moments.First, shard.Moments.Second })
                .ToList();
            Assert.All(expected.Zip(actual), pair => Assert.True(pair.First.equal(pair.Second).all().item<bool>()));
            Assert.All(sharding.Trainable, shard => Assert.Equal(0f, shard.Gradient.abs().max().item<float>()));
            var delta = sharding.Trainable[0].Segments[0];
            Assert.True(
                delta
                    .Parameter.Value.flatten()
                    .equal(
                        sharding
                            .Trainable[0]
                            .Master.narrow(0, delta.Start, delta.Parameter.Count)
                            .to_type(ScalarType.BFloat16)
                    )
                    .all()
                    .item<bool>()
            );
        }

        Assert.True(capture.Count == 2, capture.Refusal);
    }

    private static Tensor TakeGradients(ReplicatedWeights sharding)
    {
        var all = cat([.. sharding.Trainable.Select(shard => shard.Gradient)]);
        foreach (var shard in sharding.Trainable)
        {
            shard.Gradient.zero_();
        }

        return all;
    }

    private static double Relative(Tensor actual, Tensor expected) =>
        ((actual - expected).Square().sum().sqrt() / expected.Square().sum().sqrt()).item<float>();

    private static (List<double> Losses, Tensor Weights, int Graphs, string? Refusal) Train(
        DecoderModel model,
        string kind,
        int recomputed,
        bool filledUp
    )
    {
        using var start = kind == "all" ? new Saved(model) : null;
        using var adapter = Attach(model, kind);
        using var sharding = new ReplicatedWeights(model.Units);
        using var trainer = NewTrainer(model, sharding, recomputed, filledUp);
        var losses = new List<double>();
        // The same shapes come twice and more; one and two rows; one and two micro-batches a step.
        foreach (
            var (seed, lengths) in ((int, int[][])[])
                [
                    (
                        1,
                        [
                            [20],
                        ]
                    ),
                    (
                        2,
                        [
                            [33],
                            [9],
                        ]
                    ),
                    (
                        3,
                        [
                            [50],
                        ]
                    ),
                    (
                        4,
                        [
                            [12, 30],
                            [64],
                        ]
                    ),
                    (
                        5,
                        [
                            [7, 70],
                            [5],
                        ]
                    ),
                    (
                        6,
                        [
                            [41, 41],
                        ]
                    ),
                    (
                        7,
                        [
                            [64],
                        ]
                    ),
                ]
        )
        {
            losses.Add(trainer.Step(Step(seed, (int)model.Config.VocabularySize, lengths)).Loss);
        }

        var result = (losses, Weights(sharding), trainer.Capture?.Count ?? 0, trainer.Capture?.Refusal);
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

    private static Trainer NewTrainer(DecoderModel model, ReplicatedWeights sharding, int recomputed, bool filledUp)
    {
        var runner = new LayerRunner(model, sharding, recomputed);
        var schedule = new LearningRateSchedule(Optimizer.LearningRate, new ScheduleOptions(), 100);
        return filledUp && model.Device.type == DeviceType.CPU
            ? new Trainer(runner, sharding, Optimizer, schedule, seed: 3)
            {
                Capture = StepCapture.WithoutGraphs(runner, sharding, Optimizer),
            }
            : new Trainer(runner, sharding, Optimizer, schedule, seed: 3) { CapturesSmallSteps = filledUp };
    }

    private static IAdapter? Attach(DecoderModel model, string kind)
    {
        switch (kind)
        {
            case "lora":
                var lora = Lora.Attach(
                    model,
                    new LoraOptions
                    {
                        Rank = 8,
                        Alpha = 16,
                        Dropout = 0.1,
                        InitWeights = LoraInitialization.Random,
                    }
                );
                lora.Initialize(5);
                return lora;
            case "prefix":
                var prefix = PrefixTuning.Attach(
                    model,
                    new PrefixTuningOptions { VirtualTokens = 3, Initialization = PrefixInitialization.Normal }
                );
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

    private static Tensor Weights(ReplicatedWeights sharding) =>
        cat([.. sharding.Trainable.Select(shard => shard.Master)]).to_type(ScalarType.Float64).cpu();

    private static StepBatches Step(int seed, int vocabulary, params int[][] lengths)
    {
        var random = new Random(seed);
        MicroBatch[] batches = [.. lengths.Select(rows => Rows(random, vocabulary, rows))];
        return new StepBatches(batches, batches.Sum(batch => batch.SupervisedTokens), batches.Length, default, 0);
    }

    private static StepBatches Step(int seed, int vocabulary, int length) =>
        Step(
            seed,
            vocabulary,
            [
                [length],
            ]
        );

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
            TokenIds = ids,
            Labels = labels,
            SequenceStarts = [.. starts],
            SupervisedTokens = labels.Count(label => label != MicroBatch.Ignored),
            Examples = [.. lengths],
        };
    }

    // Puts the base weights back.
    private sealed class Saved : IDisposable
    {
        private readonly List<(GlmTune.Model.Layers.Parameter Parameter, Tensor Value)> values;

        public Saved(DecoderModel model) =>
            values = [
                .. model.BaseParameters.Select(parameter =>
                    (parameter, parameter.Value.clone().DetachFromDisposeScope())
                ),
            ];

        public void Dispose() =>
            values.ForEach(pair =>
            {
                pair.Parameter.Value = pair.Value;
                pair.Parameter.Trainable = false;
            });
    }
}
