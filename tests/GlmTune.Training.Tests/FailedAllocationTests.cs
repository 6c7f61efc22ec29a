using GlmTune.Data.Batching;
using GlmTune.Kernels.Memory;
using GlmTune.Model;
using GlmTune.Model.Adapters;
using GlmTune.Testing;
using GlmTune.Training.Optimization;
using GlmTune.Training.Sharding;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Training.Tests;

/// <summary>Every allocation of loading and of a step fails once: an error each time, nothing left over, and the step
/// can be made again.</summary>
[Collection(nameof(FailedAllocations))]
public sealed class FailedAllocationTests : IDisposable
{
    private readonly int threads = get_num_threads();

    public FailedAllocationTests()
    {
        Assert.SkipUnless(FailingAllocation.IsSupported, "needs Linux on x86-64: it replaces libtorch's allocator");
        set_num_threads(1); // Tiny operators spend their time waiting for a second one.
    }

    public void Dispose() => set_num_threads(threads);

    // Every allocation of the first kind; of the others, one in so many, since most of their way is the same.
    [Theory]
    [InlineData("lora", 1, 1)]
    [InlineData("lora", 0, 7)]
    [InlineData("dora", 0, 7)]
    [InlineData("prefix", 0, 7)]
    [InlineData("full", 0, 7)]
    [InlineData("full", 2, 7)]
    public void A_step_whose_nth_allocation_fails_says_so_and_can_be_made_again(string kind, int recomputed, int stride)
    {
        using var model = Load();
        using var adapter = Attach(model, kind);
        using var sharding = new ReplicatedWeights(model.Units);
        var schedule = new LearningRateSchedule(1e-3, new ScheduleOptions(), 10);
        using var trainer = new Trainer(
            new LayerRunner(model, sharding, recomputed),
            sharding,
            new OptimizerOptions(),
            schedule,
            seed: 1
        );
        var batch = GoldenBatch.Read(Path.Combine(GoldenModelTests.Folder, "batch.json")).ToMicroBatch();
        var step = new StepBatches([batch], batch.SupervisedTokens, 3, default, 0);
        trainer.Step(step);
        var live = DisposeScopeManager.Statistics.ThreadTotalLiveCount;
        var done = 1L;
        var failures = FailingAllocation.Each(
            () => trainer.Step(step),
            (n, error) =>
            {
                NothingIsLeft(live, n, error);
                done += error is null ? 1 : 0;
                Assert.True(trainer.Done == done, $"allocation {n}: a step that failed counts as done");
                using var scope = NewDisposeScope();
                foreach (var shard in sharding.Trainable)
                {
                    Assert.All(shard.Gradient.data<float>().ToArray(), value => Assert.Equal(0, value));
                }
            },
            stride
        );
        Assert.InRange(failures, 50, 5000);
        Assert.True(trainer.Done > 1);
    }

    // Moments as codes and no master weights; on the host; each layer updated at once.
    [Theory]
    [InlineData(false, false, 15)]
    [InlineData(true, false, 19)]
    [InlineData(false, true, 19)]
    [InlineData(true, true, 19)]
    public void A_step_with_small_state_whose_nth_allocation_fails_says_so_and_leaves_nothing(
        bool onHost,
        bool byLayer,
        int stride
    )
    {
        using var model = Load();
        using var adapter = Attach(model, "full");
        using var sharding = DataParallel.For(Small(onHost) with { UpdatesByLayer = byLayer }, model);
        using var trainer = new Trainer(
            new LayerRunner(model, sharding, recomputed: 1),
            sharding,
            new OptimizerOptions { MaxGradientNorm = byLayer ? 0 : 1 },
            new LearningRateSchedule(1e-3, new ScheduleOptions(), 10),
            seed: 1
        );
        var batch = GoldenBatch.Read(Path.Combine(GoldenModelTests.Folder, "batch.json")).ToMicroBatch();
        var step = new StepBatches([batch], batch.SupervisedTokens, 3, default, 0);
        trainer.Step(step);
        var live = DisposeScopeManager.Statistics.ThreadTotalLiveCount;
        var failures = FailingAllocation.Each(
            () => trainer.Step(step),
            (n, error) =>
            {
                NothingIsLeft(live, n, error);
                // A step that did not fail before its update leaves weights that are not to be saved.
                Assert.True(trainer.IsWhole || error is not null, $"allocation {n}: nothing failed");
                Assert.All(sharding.Trainable, shard => Assert.Equal(0, shard.Additions));
            },
            stride
        );
        Assert.InRange(failures, 20, 5000);
        Assert.True(double.IsFinite(trainer.Step(step).Loss));
        trainer.CheckFinite();
    }

    [Theory]
    [InlineData("lora")]
    [InlineData("prefix")]
    [InlineData("full")]
    [InlineData("small state")]
    [InlineData("small state on the host")]
    public void Loading_whose_nth_allocation_fails_says_so_and_leaves_nothing(string kind)
    {
        Load().Dispose();
        var live = DisposeScopeManager.Statistics.ThreadTotalLiveCount;
        var failures = FailingAllocation.Each(
            () =>
            {
                using var model = Load();
                using var adapter = Attach(model, kind);
                using var sharding = kind.StartsWith("small", StringComparison.Ordinal)
                    ? DataParallel.For(Small(kind.EndsWith("host", StringComparison.Ordinal)), model)
                    : new ReplicatedWeights(model.Units);
            },
            (n, error) => NothingIsLeft(live, n, error)
        );
        Assert.InRange(failures, 10, 5000);
    }

    private static ShardingOptions Small(bool onHost) =>
        new()
        {
            State = new StateOptions { Moments = StateType.Int8, MasterWeights = false },
            OffloadOptimizer = onHost,
        };

    private static void NothingIsLeft(long before, int n, Exception? error)
    {
        var left = DisposeScopeManager.Statistics.ThreadTotalLiveCount - before;
        Assert.True(left == 0, $"allocation {n}: {left} tensors are left\n{error?.StackTrace}");
        Assert.True(error is null || AllocationFailure.Find(error) is not null, $"allocation {n}: {error?.Message}");
    }

    private static DecoderModel Load() =>
        ModelFolder.Load(Path.Combine(GoldenModelTests.Folder, "model-hf"), ScalarType.Float32, CPU);

    private static IAdapter? Attach(DecoderModel model, string kind)
    {
        if (kind == "full" || kind.StartsWith("small", StringComparison.Ordinal))
        {
            foreach (var parameter in model.Parameters)
            {
                parameter.Trainable = true;
            }

            return null;
        }

        if (kind == "prefix")
        {
            var prefix = PrefixTuning.Attach(model, new PrefixTuningOptions { VirtualTokens = 3 });
            prefix.Initialize(1);
            return prefix;
        }

        var lora = Lora.Attach(model, new LoraOptions { Dropout = 0.1, UseDora = kind == "dora" });
        lora.Initialize(1);
        return lora;
    }
}

/// <summary>Replaces the allocator of the whole process, so nothing runs beside it.</summary>
[CollectionDefinition(nameof(FailedAllocations), DisableParallelization = true)]
public sealed class FailedAllocations;
