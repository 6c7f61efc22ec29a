using GlmTune.Training.Sharding;
using static TorchSharp.torch;

namespace GlmTune.Training.Tests.Sharding;

/// <summary>Any number of ranks, at any stage, trains what one rank trains.</summary>
public class DataParallelTests
{
    public static TheoryData<string, int, int, int> Cases()
    {
        var cases = new TheoryData<string, int, int, int>();
        foreach (var kind in new[] { "full", "lora", "prefix", "encoder" })
        {
            foreach (var worldSize in new[] { 1, 2, 4 })
            {
                foreach (var stage in new[] { 0, 1, 2, 3 })
                {
                    foreach (var accumulation in new[] { 1, 2 })
                    {
                        cases.Add(kind, worldSize, stage, accumulation);
                    }
                }
            }
        }
        return cases;
    }

    [Theory, MemberData(nameof(Cases))]
    public void Ranks_give_one_rank_s_losses_norms_and_weights(string kind, int worldSize, int stage, int accumulation)
    {
        var microBatches = worldSize * accumulation;
        var alone = RankedRun.Of(kind, 1, null, microBatches);
        var options = new ShardingOptions { Stage = stage, ReduceBucketElements = 1000, AllGatherBucketElements = 700, PersistenceThreshold = 100, MaxReuseDistance = 0 };
        RankedRun.Of(kind, worldSize, options, microBatches).ShouldBe(alone, 1e-9);
        RankedRun.Of(kind, worldSize, options with { OverlapCommunication = false, ReduceBucketElements = 500_000_000 }, microBatches, ScalarType.Float32)
            .ShouldBe(RankedRun.Of(kind, 1, null, microBatches, ScalarType.Float32), 2e-3);
    }

    [Theory, InlineData(0), InlineData(1), InlineData(2), InlineData(3)]
    public void A_rank_without_rows_takes_part(int stage)
    {
        var alone = RankedRun.Of("full", 1, null, 4, emptyBatches: 1);
        RankedRun.Of("full", 4, new ShardingOptions { Stage = stage }, 4, emptyBatches: 1).ShouldBe(alone, 1e-9);
    }

    [Theory]
    [InlineData("full", 2, 2, false), InlineData("full", 1, 3, false), InlineData("full", 4, 3, false), InlineData("full", 2, 3, true)]
    [InlineData("lora", 2, 3, true), InlineData("lora", 2, 0, false), InlineData("prefix", 1, 3, true)]
    public void Optimizer_state_and_weights_on_the_host_give_the_same(string kind, int worldSize, int stage, bool parameters)
    {
        var options = new ShardingOptions
        {
            Stage = stage, OffloadOptimizer = true, OffloadParameters = parameters, PersistenceThreshold = 0, SubGroupElements = 1024,
        };
        RankedRun.Of(kind, worldSize, options, 4).ShouldBe(RankedRun.Of(kind, 1, null, 4), 1e-9);
        RankedRun.Of(kind, worldSize, options, 4, ScalarType.Float32).ShouldBe(RankedRun.Of(kind, 1, null, 4, ScalarType.Float32), 2e-3);
    }
}
