using GlmTune.Collectives;
using GlmTune.Kernels;
using GlmTune.Kernels.Memory;
using GlmTune.Kernels.Native;
using GlmTune.Training.Optimization;
using GlmTune.Training.Sharding;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Training.Tests.Sharding;

/// <summary>The ranks' way on a GPU, NCCL's world of one: what tests on threads cannot see of streams and host
/// memory.</summary>
public class GpuShardingTests
{
    static GpuShardingTests() => NativeRuntime.Load();

    [Theory]
    [InlineData(0, false, false), InlineData(1, false, false), InlineData(2, false, false), InlineData(3, false, false)]
    [InlineData(2, true, false), InlineData(3, true, false), InlineData(3, true, true), InlineData(3, false, true)]
    public void A_world_of_one_by_NCCL_trains_what_plain_training_does(int stage, bool optimizer, bool parameters)
    {
        Assert.SkipUnless(NativeRuntime.DefaultDevice().type == DeviceType.CUDA, "There is no GPU.");
        var device = NativeRuntime.DefaultDevice();
        using var ranks = Nccl.Connect(0, 1, device);
        foreach (var kind in new[] { "full", "lora" })
        {
            var alone = Train(kind, null);
            var options = new ShardingOptions
            {
                Stage = stage,
                OffloadOptimizer = optimizer,
                OffloadParameters = parameters,
                PersistenceThreshold = 0,
                MaxReuseDistance = 0,
                SubGroupElements = 1024,
            };
            Train(kind, options).ShouldBe(alone, 2e-3);
        }

        RankedRun Train(string kind, ShardingOptions? options)
        {
            using var model = RankedRun.Model(kind, ScalarType.Float32, out var adapter, device);
            using var owned = adapter;
            using var sharding = options is null
                ? new ReplicatedWeights(model.Units)
                : DataParallel.For(options, model, ranks);
            return RankedRun.Train(model, sharding, ranks, 2);
        }
    }

    [Theory]
    [InlineData("BFloat16", false), InlineData("Int8", false), InlineData("Int8", true)]
    public void State_in_host_memory_is_updated_as_on_the_GPU(string moments, bool masters)
    {
        Assert.SkipUnless(NativeRuntime.DefaultDevice().type == DeviceType.CUDA, "There is no GPU.");
        var device = NativeRuntime.DefaultDevice();
        var options = new ShardingOptions
        {
            Stage = 3,
            PersistenceThreshold = 0,
            State = new StateOptions { Moments = Enum.Parse<StateType>(moments), MasterWeights = masters },
        };
        var expected = Train(options);
        foreach (
            var other in new[] { options.WithOptimizerOnHost(), options.WithOptimizerOnHost().WithParametersOnHost() }
        )
        {
            // Plain operators add the embedding's gradient in any order.
            Train(other).ShouldBe(expected, 2e-2);
        }

        RankedRun Train(ShardingOptions sharded)
        {
            using var model = RankedRun.Model("full", ScalarType.BFloat16, out _, device);
            using var ranks = new SingleRank(device);
            using var sharding = DataParallel.For(sharded, model, ranks);
            return RankedRun.Train(model, sharding, ranks, 3);
        }
    }

    [Fact]
    public void Copies_beside_the_computation_bring_what_was_there()
    {
        Assert.SkipUnless(NativeRuntime.DefaultDevice().type == DeviceType.CUDA, "There is no GPU.");
        using var scope = NewDisposeScope();
        var device = NativeRuntime.DefaultDevice();
        using var copies = new HostCopies(device);
        using var memory = new PinnedMemory(device, 4 << 20);
        var values = randn(1 << 20, device: device);
        var back = zeros_like(values);
        for (var round = 0; round < 3; round++)
        {
            values.AddInPlace(1);
            copies.ToHost(values, memory.Address).Wait();
            Assert.True(memory.View(ScalarType.Float32, 1 << 20).equal(values.cpu()).all().item<bool>());
            copies.ToDevice(memory.Address, back).Await();
            Assert.True(back.equal(values).all().item<bool>());
        }
    }
}
