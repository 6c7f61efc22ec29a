using GlmTune.Collectives;
using GlmTune.Data.Batching;
using GlmTune.Kernels;
using GlmTune.Kernels.Native;
using GlmTune.Training.Optimization;
using GlmTune.Training.Sharding;
using GlmTune.Training.Tests.Sharding;
using static TorchSharp.torch;

namespace GlmTune.Training.Tests.Sentinel;

/// <summary>A step that is rejected, or that fails among its micro-batches, leaves nothing behind: the steps after it
/// give the same weights as without it.</summary>
public sealed class SkippedStepTests
{
    private const int MicroBatches = 4;

    static SkippedStepTests() => NativeRuntime.Load();

    [Theory]
    [InlineData("lora", 0, 1, false), InlineData("lora", 1, 2, false), InlineData("encoder", 0, 1, false)]
    [InlineData("full", 0, 1, false), InlineData("full", 0, 2, false), InlineData("full", 1, 2, false)]
    [InlineData("full", 2, 2, false), InlineData("full", 3, 2, false), InlineData("full", 2, 1, true)]
    public void Steps_after_a_skipped_one_are_those_without_it(string kind, int stage, int worldSize, bool onHost) =>
        AssertSame(kind, stage, worldSize, onHost, Skip);

    [Theory]
    [InlineData("lora", 0, 1, false), InlineData("lora", 1, 2, false), InlineData("full", 1, 2, false)]
    [InlineData("full", 2, 2, false), InlineData("full", 3, 2, false), InlineData("full", 2, 1, true)]
    public void Steps_after_one_that_failed_half_way_are_those_without_it(
        string kind,
        int stage,
        int worldSize,
        bool onHost
    ) => AssertSame(kind, stage, worldSize, onHost, Fail);

    private static void AssertSame(
        string kind,
        int stage,
        int worldSize,
        bool onHost,
        Action<Trainer, StepBatches> between
    )
    {
        var expected = Run(kind, stage, worldSize, onHost, null);
        var found = Run(kind, stage, worldSize, onHost, between);
        Assert.Equal(expected.Keys, found.Keys);
        Assert.All(expected, pair => Assert.Equal(pair.Value, found[pair.Key]));
    }

    private static void Skip(Trainer trainer, StepBatches step)
    {
        trainer.Runner.Disturb = (_, layer, inBackward, x) =>
        {
            if (layer == 1 && !inBackward)
            {
                x.MultiplyInPlace(double.NaN);
            }
        };
        var rejected = Assert.Throws<RejectedStepException>(() => trainer.Step(step));
        trainer.Runner.Disturb = null;
        Assert.Equal(trainer.Runner.Model.Layers[0].Name, rejected.Trouble.Origin!.Place);
        Assert.False(rejected.Trouble.Origin.InBackward);
        trainer.Skip(rejected.Trouble.Report);
        Assert.Equal(1, trainer.Skipped);
    }

    // Between its first and its second micro-batch.
    private static void Fail(Trainer trainer, StepBatches step)
    {
        var passes = 0;
        trainer.Runner.Disturb = (_, layer, inBackward, _) =>
        {
            if (layer == 0 && !inBackward && ++passes == 2)
            {
                throw new InvalidOperationException("half-way");
            }
        };
        Assert.Throws<InvalidOperationException>(() => trainer.Step(step));
        trainer.Runner.Disturb = null;
    }

    private static Dictionary<string, double[]> Run(
        string kind,
        int stage,
        int worldSize,
        bool onHost,
        Action<Trainer, StepBatches>? between
    ) =>
        InProcess.Run(
            worldSize,
            ranks =>
            {
                set_num_threads(1);
                using var model = RankedRun.Model(kind, ScalarType.Float32, out var adapter);
                using var owned = adapter;
                using var sharding = DataParallel.For(
                    new ShardingOptions { Stage = stage, OffloadOptimizer = onHost },
                    model,
                    ranks
                );
                using var trainer = new Trainer(
                    new LayerRunner(model, sharding, recomputed: 1),
                    sharding,
                    new OptimizerOptions { LearningRate = 1e-2, MaxGradientNorm = 0.5 },
                    new LearningRateSchedule(1e-2, new ScheduleOptions { Kind = ScheduleKind.Constant }, 10),
                    seed: 1,
                    ranks.Rank
                );
                trainer.Step(Step(0, ranks));
                between?.Invoke(trainer, Step(7, ranks));
                trainer.Step(Step(1, ranks));
                trainer.Step(Step(2, ranks));
                return RankedRun.Values(model, sharding);
            }
        )[0];

    private static StepBatches Step(int number, ICollectives ranks)
    {
        var all = Enumerable.Range(0, MicroBatches).Select(i => RankedRun.Batch((number * 100) + i)).ToList();
        var mine = all.Where((_, i) => i % ranks.WorldSize == ranks.Rank).ToList();
        return new StepBatches(mine, all.Sum(batch => batch.SupervisedTokens), all.Count, default, 0);
    }
}
