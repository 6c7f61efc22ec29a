using GlmTune.Collectives;
using GlmTune.Data.Batching;
using GlmTune.Kernels;
using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Native;
using GlmTune.Model;
using GlmTune.Model.Adapters;
using GlmTune.Testing;
using GlmTune.Training.Optimization;
using GlmTune.Training.SequenceParallel;
using GlmTune.Training.Sharding;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Training.Tests.SequenceParallel;

/// <summary>Ranks that share the tokens of a pass compute what one rank does.</summary>
public class SequenceParallelPassTests
{
    private const int Steps = 3;

    static SequenceParallelPassTests() => NativeRuntime.Load();

    private sealed record Result(double[] Losses, double[] Norms, IReadOnlyList<double[]> Weights);

    [Theory]
    [InlineData("full", 2), InlineData("full", 4), InlineData("lora", 2), InlineData("lora", 4)]
    [InlineData("prefix", 2), InlineData("prefix", 8)]
    public void Losses_norms_and_weights_are_those_of_one_rank(string kind, int worldSize)
    {
        var expected = Train(kind, null);
        foreach (var actual in InProcess.Run(worldSize, ranks => Train(kind, ranks)))
        {
            Assert.All(expected.Losses.Zip(actual.Losses), pair => Assert.Equal(pair.First, pair.Second, 1e-11));
            Assert.All(expected.Norms.Zip(actual.Norms), pair => Assert.Equal(pair.First, pair.Second, 1e-8));
            Assert.Equal(expected.Weights.Count, actual.Weights.Count);
            Assert.All(
                expected.Weights.Zip(actual.Weights),
                pair => Assert.All(pair.First.Zip(pair.Second), value => Assert.Equal(value.First, value.Second, 1e-9))
            );
        }
    }

    [Fact]
    public void Every_token_and_target_is_held_by_one_rank()
    {
        var whole = Batch();
        using var alone = TrainingPass.Of(whole, CPU);
        var parts = InProcess.Run(
            4,
            ranks =>
            {
                using var pass = SequenceParallelPass.Of(whole, new HeadLayout(8, 2, 8, 4), ranks);
                return (
                    pass.TokenIds,
                    Rows: pass.Targets.Rows.data<long>().ToArray(),
                    Targets: pass.Targets.Targets.data<long>().ToArray(),
                    First: pass.Run!.Value.Start.Value
                );
            }
        );
        Assert.Equal(alone.TokenIds, parts.SelectMany(part => part.TokenIds).Take(alone.TokenIds.Length));
        Assert.Equal(
            alone.Targets.Rows.data<long>().ToArray(),
            parts.SelectMany(part => part.Rows.Select(row => row + part.First))
        );
        Assert.Equal(alone.Targets.Targets.data<long>().ToArray(), parts.SelectMany(part => part.Targets));
        Assert.Single(parts.Select(part => part.TokenIds.Length).Distinct());
    }

    [Theory]
    [InlineData(32, 2, 8, null), InlineData(32, 2, 32, null), InlineData(32, 4, 2, null)]
    [
        InlineData(32, 2, 3, "32 query heads cannot be divided among 3 ranks"),
        InlineData(12, 4, 6, "do not match groups of 3")
    ]
    public void Heads_that_cannot_be_shared_are_named(int queries, int keys, int ranks, string? problem)
    {
        var found = HeadExchange.Problem(new HeadLayout(queries, keys, 128, 64), ranks);
        if (problem is null)
        {
            Assert.Null(found);
        }
        else
        {
            Assert.Contains(problem, found, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Live_tensors_stay_as_many()
    {
        var counts = InProcess.Run(
            2,
            ranks =>
            {
                using var model = Load();
                using var adapter = Attach("prefix", model);
                using var sharding = new ReplicatedWeights(model.Units, ranks);
                var trainer = Trainer(model, sharding, ranks);
                var after = new long[6];
                for (var step = 0; step < after.Length; step++)
                {
                    trainer.Step(Step());
                    after[step] = DisposeScopeManager.Statistics.ThreadTotalLiveCount;
                }

                return after;
            }
        );
        Assert.All(counts, after => Assert.Equal(after[2], after[^1]));
    }

    // The golden rows, of 16 to 24 tokens: runs end inside sequences, and the last rank gets tokens that fill up.
    private static MicroBatch Batch() =>
        GoldenBatch.Read(Path.Combine(GoldenModelTests.Folder, "batch.json")).ToMicroBatch();

    private static StepBatches Step()
    {
        var batch = Batch();
        return new StepBatches([batch, batch], 2 * batch.SupervisedTokens, 6, default, 0);
    }

    private static Trainer Trainer(DecoderModel model, ReplicatedWeights sharding, ICollectives? ranks) =>
        new(
            new LayerRunner(model, sharding, recomputed: 1),
            sharding,
            new OptimizerOptions { LearningRate = 1e-3, MaxGradientNorm = 0.5 },
            new LearningRateSchedule(1e-3, new ScheduleOptions(), Steps),
            seed: 1
        )
        {
            MakePass = ranks is null ? null : batch => SequenceParallelPass.Of(batch, model.Config.Heads, ranks),
        };

    private static Result Train(string kind, ICollectives? ranks)
    {
        using var scope = NewDisposeScope();
        using var model = Load();
        using var adapter = Attach(kind, model);
        using var sharding = new ReplicatedWeights(model.Units, ranks);
        var trainer = Trainer(model, sharding, ranks);
        var reports = Enumerable.Range(0, Steps).Select(_ => trainer.Step(Step())).ToList();
        return new Result(
            [.. reports.Select(report => report.Loss)],
            [.. reports.Select(report => report.GradientNorm)],
            [
                .. model
                    .Parameters.Where(parameter => parameter.Trainable)
                    .Select(parameter => parameter.Value.contiguous().data<double>().ToArray()),
            ]
        );
    }

    private static IAdapter? Attach(string kind, DecoderModel model)
    {
        if (kind == "prefix")
        {
            var prefix = PrefixTuning.Attach(
                model,
                new PrefixTuningOptions { VirtualTokens = 5, Initialization = PrefixInitialization.Normal }
            );
            prefix.Initialize(2);
            return prefix;
        }

        if (kind == "lora")
        {
            var lora = Lora.Attach(
                model,
                new LoraOptions
                {
                    Rank = 3,
                    Dropout = 0,
                    TargetModules = LoraTargets.AllLinear,
                    InitWeights = LoraInitialization.Random,
                }
            );
            lora.Initialize(2);
            return lora;
        }

        foreach (var parameter in model.BaseParameters)
        {
            parameter.Trainable = true;
        }

        return null;
    }

    private static DecoderModel Load() =>
        ModelFolder.Load(Path.Combine(GoldenModelTests.Folder, "model-hf"), ScalarType.Float64, CPU);
}
