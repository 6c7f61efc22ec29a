using GlmTune.Collectives;
using GlmTune.Data.Batching;
using GlmTune.Kernels;
using GlmTune.Kernels.Native;
using GlmTune.Model;
using GlmTune.Training.Checkpoints;
using GlmTune.Training.Optimization;
using GlmTune.Training.Sharding;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Training.Tests.Sharding;

/// <summary>Moments of fewer bytes and weights without masters: losses and bits, wherever the state is, however it is
/// shared, and after a resume.</summary>
public sealed class CompactStateTests : IDisposable
{
    private const int Steps = 8;
    private readonly int threads = get_num_threads();
    private readonly DirectoryInfo folder = Directory.CreateTempSubdirectory("glmtune-state");

    static CompactStateTests() => NativeRuntime.Load();

    public CompactStateTests() => set_num_threads(1);

    public static TheoryData<StateType, bool> States =>
        new()
        {
            { StateType.BFloat16, true },
            { StateType.Int8, true },
            { StateType.Float32, false },
            { StateType.BFloat16, false },
            { StateType.Int8, false },
        };

    public void Dispose()
    {
        set_num_threads(threads);
        folder.Delete(recursive: true);
    }

    [Theory, MemberData(nameof(States))]
    public void Losses_stay_within_one_percent_of_full_precision(StateType moments, bool masters)
    {
        var expected = Run(new ShardingOptions(), steps: 40);
        var actual = Run(With(moments, masters), steps: 40);
        Assert.All(expected.Losses.Zip(actual.Losses), pair => Assert.InRange(pair.Second / pair.First, 0.99, 1.01));
        Assert.True(actual.Losses[^1] < 0.8 * actual.Losses[0], "the loss did not fall");
    }

    [Theory, MemberData(nameof(States))]
    public void Every_place_and_order_gives_the_same_bits(StateType moments, bool masters)
    {
        var options = With(moments, masters);
        var sliced = options with { Stage = 3, PersistenceThreshold = 0 };
        ShardingOptions[] places =
        [
            options with
            {
                OffloadOptimizer = true,
            },
            options with
            {
                UpdatesByLayer = true,
            },
            options with
            {
                UpdatesByLayer = true,
                OffloadOptimizer = true,
            },
            sliced with
            {
                OffloadOptimizer = true,
            },
            sliced with
            {
                OffloadOptimizer = true,
                OffloadParameters = true,
            },
            sliced with
            {
                OffloadOptimizer = true,
                OffloadParameters = true,
                UpdatesByLayer = true,
            },
        ];
        // Grouped in another way: the random numbers of an element depend on its parameter alone.
        places = [.. places, sliced with { PersistenceThreshold = 1500 }];
        var expected = Run(options, clip: 0);
        foreach (var other in places)
        {
            var actual = Run(other, clip: 0);
            Assert.True(expected.Losses.SequenceEqual(actual.Losses), $"{other}: the losses differ");
            Assert.All(expected.Weights, pair => Assert.Equal(pair.Value, actual.Weights[pair.Key]));
            // The squares are added in another order.
            Assert.All(
                expected.Norms.Zip(actual.Norms),
                pair => Assert.InRange(pair.Second / pair.First, 0.9999, 1.0001)
            );
        }
    }

    [Theory, MemberData(nameof(States))]
    public void Gradients_summed_over_micro_batches_also_give_the_same_bits_at_every_place(
        StateType moments,
        bool masters
    )
    {
        var options = With(moments, masters);
        var sliced = options with { Stage = 3, PersistenceThreshold = 0 };
        var expected = Run(options, clip: 0, microBatches: 3);
        var actual = Run(sliced with { OffloadOptimizer = true, OffloadParameters = true }, clip: 0, microBatches: 3);
        Assert.Equal(expected.Losses, actual.Losses);
        Assert.All(expected.Weights, pair => Assert.Equal(pair.Value, actual.Weights[pair.Key]));
    }

    [Theory, MemberData(nameof(States))]
    public void A_resumed_run_has_the_same_bits(StateType moments, bool masters)
    {
        var options = With(moments, masters);
        var expected = Run(options);
        var first = Run(options, steps: 3, save: true);
        var second = Run(options, from: 3);
        Assert.Equal(expected.Losses, first.Losses.Concat(second.Losses));
        Assert.All(expected.Weights, pair => Assert.Equal(pair.Value, second.Weights[pair.Key]));
    }

    [Theory]
    [InlineData(StateType.Float32, true, StateType.Int8, false, "float32", "int8")]
    [InlineData(StateType.BFloat16, true, StateType.Int8, true, "bfloat16", "int8")]
    [InlineData(StateType.Int8, false, StateType.Float32, true, "int8", "float32")]
    [InlineData(StateType.Int8, true, StateType.BFloat16, false, "int8", "bfloat16")]
    public void State_of_another_type_is_converted_and_said_so(
        StateType before,
        bool mastersBefore,
        StateType now,
        bool mastersNow,
        string stored,
        string kept
    )
    {
        var expected = Run(With(before, mastersBefore));
        Run(With(before, mastersBefore), steps: 3, save: true);
        var actual = Run(With(now, mastersNow), from: 3);
        Assert.Contains($"AdamW's moments were stored as {stored}, and this run keeps {kept}", actual.Converted);
        Assert.Equal(
            mastersBefore != mastersNow,
            actual.Converted.Any(text => text.StartsWith("the trained weights were stored", StringComparison.Ordinal))
        );
        Assert.All(
            expected.Losses.Skip(3).Zip(actual.Losses),
            pair => Assert.InRange(pair.Second / pair.First, 0.98, 1.02)
        );
    }

    [Theory]
    [InlineData(0), InlineData(1), InlineData(2), InlineData(3)]
    public void Ranks_learn_what_one_rank_learns(int stage)
    {
        var options = With(StateType.Int8, masters: false) with
        {
            ReduceBucketElements = 1000,
            PersistenceThreshold = 0,
        };
        var alone = RankedRun.Of("full", 1, options, 4, ScalarType.BFloat16);
        var shared = RankedRun.Of("full", 2, options with { Stage = stage }, 4, ScalarType.BFloat16);
        Assert.All(alone.Losses.Zip(shared.Losses), pair => Assert.InRange(pair.Second / pair.First, 0.99, 1.01));
        Assert.All(alone.Norms.Zip(shared.Norms), pair => Assert.InRange(pair.Second / pair.First, 0.97, 1.03));
    }

    [Theory]
    [InlineData("tied head"), InlineData("lora"), InlineData("output norms")]
    public void Other_models_and_adapters_learn_with_it(string kind)
    {
        var options = With(StateType.Int8, masters: kind == "lora");
        var expected = RankedRun.Of(kind, 1, new ShardingOptions(), 2, ScalarType.BFloat16);
        var actual = RankedRun.Of(kind, 1, options, 2, ScalarType.BFloat16);
        Assert.All(expected.Losses.Zip(actual.Losses), pair => Assert.InRange(pair.Second / pair.First, 0.99, 1.01));
    }

    [Fact]
    public void Ranks_read_what_another_number_of_ranks_wrote()
    {
        var options = With(StateType.Int8, masters: false) with { Stage = 2 };
        byte[][] Written(int worldSize, bool read) =>
            InProcess.Run(
                worldSize,
                ranks =>
                {
                    set_num_threads(1);
                    using var model = RankedRun.Model("full", ScalarType.BFloat16, out _);
                    using var sharding = DataParallel.For(options, model, ranks);
                    if (read)
                    {
                        OptimizerFile.Read(folder.FullName, sharding.Trainable);
                    }
                    else
                    {
                        RankedRun.Train(model, sharding, ranks, 6, steps: 2);
                        OptimizerFile.Write(folder.FullName, sharding.Trainable, ranks.Rank, worldSize);
                    }

                    return sharding
                        .Trainable.SelectMany(shard =>
                            shard
                                .Overlaps()
                                .Select(part =>
                                    shard.Moments.First.narrow(0, part.InShard, part.Count).to_type(ScalarType.Float32)
                                )
                        )
                        .SelectMany(values => values.data<float>().ToArray())
                        .Select(value => (byte)value)
                        .ToArray();
                }
            );
        int[] Histogram(byte[][] codes) =>
            [.. Enumerable.Range(0, 256).Select(code => codes.SelectMany(each => each).Count(each => each == code))];
        var before = Histogram(Written(2, read: false));
        Assert.Equal(before, Histogram(Written(3, read: true)));
    }

    [Fact]
    public void A_loss_that_is_not_finite_stops_a_step_before_any_layer_is_updated()
    {
        using var model = RankedRun.Model("full", ScalarType.BFloat16, out _);
        using var sharding = DataParallel.For(
            With(StateType.BFloat16, masters: false) with
            {
                UpdatesByLayer = true,
            },
            model
        );
        using var trainer = NewTrainer(model, sharding, clip: 0);
        using (no_grad())
        {
            model.Head.Norm.Value.FillInPlace(double.NaN);
        }

        var before = RankedRun.Values(model, sharding);
        var error = Assert.Throws<RejectedStepException>(() => trainer.Step(StepOf(0, 1)));
        Assert.Contains("No weight was changed", error.Message, StringComparison.Ordinal);
        Assert.True(trainer.IsWhole);
        Assert.All(RankedRun.Values(model, sharding), pair => Assert.Equal(before[pair.Key], pair.Value));
    }

    [Fact]
    public void Layers_are_not_updated_behind_a_pass_that_is_clipped_or_accumulated()
    {
        using var model = RankedRun.Model("full", ScalarType.BFloat16, out _);
        using var sharding = DataParallel.For(new ShardingOptions { UpdatesByLayer = true }, model);
        using var clipping = NewTrainer(model, sharding, clip: 1);
        Assert.Throws<InvalidOperationException>(() => clipping.Step(StepOf(0, 1)));
        using var plain = NewTrainer(model, sharding, clip: 0);
        Assert.Throws<InvalidOperationException>(() => plain.Step(StepOf(0, 2)));
    }

    private static ShardingOptions With(StateType moments, bool masters) =>
        new()
        {
            State = new StateOptions { Moments = moments, MasterWeights = masters },
        };

    private StateRun Run(
        ShardingOptions options,
        int steps = Steps,
        double clip = 0.5,
        int microBatches = 1,
        int from = 0,
        bool save = false
    )
    {
        using var model = RankedRun.Model("full", ScalarType.BFloat16, out _);
        using var sharding = DataParallel.For(options, model);
        IReadOnlyList<string> converted = [];
        if (from > 0)
        {
            converted = OptimizerFile.Read(folder.FullName, sharding.Trainable);
            sharding.ShareUpdates();
        }

        using var trainer = NewTrainer(model, sharding, clip);
        trainer.Done = from;
        var reports = Enumerable
            .Range(from, steps - from)
            .Select(step => trainer.Step(StepOf(step, microBatches)))
            .ToList();
        if (save)
        {
            OptimizerFile.Write(folder.FullName, sharding.Trainable);
        }

        return new StateRun(
            [.. reports.Select(report => report.Loss)],
            [.. reports.Select(report => report.GradientNorm)],
            RankedRun.Values(model, sharding),
            converted
        );
    }

    private static Trainer NewTrainer(DecoderModel model, ISharding sharding, double clip) =>
        new(
            new LayerRunner(model, sharding, recomputed: 1),
            sharding,
            new OptimizerOptions
            {
                LearningRate = 3e-3,
                WeightDecay = 0.1,
                MaxGradientNorm = clip,
            },
            new LearningRateSchedule(3e-3, new ScheduleOptions { Kind = ScheduleKind.Constant }, 100),
            seed: 5
        );

    // Three steps that are repeated, so that there is something to learn.
    private static StepBatches StepOf(int step, int microBatches)
    {
        List<MicroBatch> batches =
        [
            .. Enumerable.Range(0, microBatches).Select(i => RankedRun.Batch((step % 3 * 10) + i)),
        ];
        return new StepBatches(batches, batches.Sum(batch => batch.SupervisedTokens), batches.Count, default, 0);
    }

    private sealed record StateRun(
        double[] Losses,
        double[] Norms,
        Dictionary<string, double[]> Weights,
        IReadOnlyList<string> Converted
    );
}
