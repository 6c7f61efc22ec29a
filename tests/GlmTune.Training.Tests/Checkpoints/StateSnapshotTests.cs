using GlmTune.Collectives;
using GlmTune.Kernels.Native;
using GlmTune.Training.Checkpoints;
using GlmTune.Training.Optimization;
using GlmTune.Training.Sharding;
using GlmTune.Training.Tests.Sharding;
using static TorchSharp.torch;

namespace GlmTune.Training.Tests.Checkpoints;

public sealed class StateSnapshotTests
{
    static StateSnapshotTests() => NativeRuntime.Load();

    // The copy is made as late as it can be: when the next update asks for it.
    [Theory]
    [InlineData("full", 0, 1, StateType.Float32, true, false, false)]
    [InlineData("lora", 0, 1, StateType.Float32, true, false, false)]
    [InlineData("lora", 1, 2, StateType.Float32, true, false, false)]
    [InlineData("full", 2, 2, StateType.Float32, true, false, false)]
    [InlineData("full", 3, 2, StateType.Float32, true, false, false)]
    [InlineData("full", 0, 1, StateType.Float32, true, true, false)]
    [InlineData("full", 0, 1, StateType.Int8, true, true, false)]
    [InlineData("full", 0, 1, StateType.BFloat16, false, false, true)]
    [InlineData("full", 0, 1, StateType.Int8, false, false, true)]
    public void A_copy_that_is_made_while_the_next_step_runs_is_of_the_step_before(
        string kind,
        int stage,
        int worldSize,
        StateType moments,
        bool masters,
        bool onHost,
        bool byLayer
    )
    {
        var options = new ShardingOptions
        {
            Stage = stage,
            State = new StateOptions { Moments = moments, MasterWeights = masters },
            OffloadOptimizer = onHost,
            UpdatesByLayer = byLayer,
        };
        InProcess.Run(
            worldSize,
            ranks =>
            {
                set_num_threads(1);
                using var model = RankedRun.Model(kind, ScalarType.BFloat16, out var adapter);
                using var owned = adapter;
                using var sharding = DataParallel.For(options, model, ranks);
                using var trainer = NewTrainer(model, sharding, clip: byLayer ? 0 : 0.5);
                trainer.Step(Step(1));
                using var copy = new StateSnapshot(
                    sharding.Trainable.Select(shard => shard.State),
                    model.Device,
                    withMoments: true
                );
                trainer.BeforeUpdate = copy.Complete;
                for (var step = 2; step < 4; step++)
                {
                    var before = Bytes(sharding.Trainable.Select(shard => shard.State));
                    copy.Begin();
                    trainer.Step(Step(step));
                    Assert.Equal(before, Bytes(copy.States));
                    Assert.NotEqual(before, Bytes(sharding.Trainable.Select(shard => shard.State)));
                }

                return true;
            }
        );
    }

    [Fact]
    public async Task An_update_waits_for_the_copy()
    {
        using var model = RankedRun.Model("lora", ScalarType.Float32, out var adapter);
        using var owned = adapter;
        using var sharding = DataParallel.For(new ShardingOptions(), model);
        using var copy = new StateSnapshot(
            sharding.Trainable.Select(shard => shard.State),
            model.Device,
            withMoments: true
        );
        copy.Begin();
        var waiting = Task.Factory.StartNew(
            copy.AwaitBeforeUpdate,
            CancellationToken.None,
            TaskCreationOptions.LongRunning,
            TaskScheduler.Default
        );
        Assert.False(waiting.IsCompleted);
        copy.Complete();
        await waiting.WaitAsync(TimeSpan.FromMinutes(1), TestContext.Current.CancellationToken);
        copy.AwaitBeforeUpdate(); // nothing to wait for any more
    }

    [Fact]
    public void Only_what_is_saved_is_copied()
    {
        using var model = RankedRun.Model("lora", ScalarType.Float32, out var adapter);
        using var owned = adapter;
        using var sharding = DataParallel.For(new ShardingOptions(), model);
        List<ShardState> states = [.. sharding.Trainable.Select(shard => shard.State)];
        var weights = sharding.Trainable.Sum(shard => shard.Length) * 4;
        Assert.Equal(weights, StateSnapshot.BytesOf(states, withMoments: false));
        Assert.Equal(3 * weights, StateSnapshot.BytesOf(states, withMoments: true));
        using var copy = new StateSnapshot(states, model.Device, withMoments: false);
        copy.Begin();
        copy.Complete();
        Assert.All(
            sharding.Trainable.SelectMany(shard => shard.Segments),
            segment =>
            {
                using var value = copy.ValueOf(segment.Parameter);
                using var expected = segment.Parameter.Value.to_type(value.dtype);
                Assert.True(value.equal(expected).all().item<bool>());
            }
        );
    }

    private static Trainer NewTrainer(Model.DecoderModel model, ISharding sharding, double clip) =>
        new(
            new LayerRunner(model, sharding, recomputed: 1),
            sharding,
            new OptimizerOptions { LearningRate = 1e-2, MaxGradientNorm = clip },
            new LearningRateSchedule(1e-2, new ScheduleOptions { Kind = ScheduleKind.Constant }, 10),
            seed: 1
        );

    private static Data.Batching.StepBatches Step(int seed)
    {
        var batch = RankedRun.Batch(seed);
        return new([batch], 2 * batch.SupervisedTokens, 2, default, 0);
    }

    private static byte[] Bytes(IEnumerable<ShardState> states)
    {
        using var scope = NewDisposeScope();
        return
        [
            .. states
                .SelectMany(state => state.Moments.Tensors.Prepend(state.Master))
                .SelectMany(tensor => tensor.to_type(ScalarType.Float64).data<double>().ToArray())
                .SelectMany(BitConverter.GetBytes),
        ];
    }
}
