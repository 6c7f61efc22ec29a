using GlmTune.Collectives;
using GlmTune.Kernels.Native;
using GlmTune.Model.Glm4;
using GlmTune.Recipes.Tests;
using GlmTune.Training.Sharding;

namespace GlmTune.Benchmarking.Tests;

/// <summary>What the benchmarks of several ranks count, on thread ranks and a very small model.</summary>
public class RankBenchmarkTests
{
    private static readonly TrainBenchmarkOptions Small = new()
    {
        Config = Glm4Config.Glm4_9B with
        {
            HiddenSize = 32,
            FeedForwardSize = 48,
            VocabularySize = 67,
            QueryHeads = 4,
            KeyValueHeads = 2,
            HeadDim = 8,
        },
        Layers = 2,
        Rows = 2,
        Tokens = 8,
        LoraRank = 0,
        Steps = 2,
        Warmup = 1,
        Plain = true,
    };

    static RankBenchmarkTests() => NativeRuntime.Load();

    [Theory, InlineData(0), InlineData(2), InlineData(3)]
    public void Two_ranks_train_what_one_trains_with_twice_the_micro_batches(int stage)
    {
        var one = TrainBenchmark.Run(Small with { AccumulationSteps = 2 });
        var options = Small with
        {
            Sharding = new ShardingOptions
            {
                Stage = stage,
                PersistenceThreshold = 0,
                MaxReuseDistance = 0,
            },
        };
        var two = InProcess.Run(2, ranks => TrainBenchmark.Run(options, ranks))[0];
        Assert.Equal(one.Losses.Count, two.Losses.Count);
        Assert.All(one.Losses.Zip(two.Losses), losses => Assert.Equal(losses.First, losses.Second, 1e-4));
        Assert.Equal(2, two.Ranks);
        var sharing = two.Sharding!;
        Assert.Equal(one.Sharding?.Parameters ?? sharing.Parameters, sharing.Parameters);
        // On two ranks a gather or a scatter sends half of what it is of, an all-reduce all of it; float32 here.
        // Stage 3 gathers all for the forward pass, and for the backward pass all but the embedding and the head, which
        // serves both at once.
        double outside = (2 * 67 * 32) + 32;
        var bytes = stage switch
        {
            0 => 4.0 * sharing.Parameters,
            2 => 2 * 2.0 * sharing.Parameters,
            _ => 2.0 * ((3 * sharing.Parameters) - outside),
        };
        Assert.InRange(sharing.BytesSentPerStep, bytes, bytes * 1.03);
    }

    [Fact]
    public void Collectives_are_counted_as_nccl_tests_count_them()
    {
        var results = InProcess.Run(2, ranks => CollectivesBenchmark.Run(ranks, 64, 1024, rounds: 2))[0];
        Assert.Equal(
            ["all-reduce", "all-gather", "reduce-scatter"],
            results.Take(3).Select(result => result.Operation)
        );
        Assert.Equal([64L, 256, 1024], results.Select(result => result.Bytes).Distinct());
        Assert.All(
            results,
            result =>
                Assert.Equal(
                    result.Operation == "all-reduce" ? 1 : 0.5,
                    result.BusBandwidth / result.AlgorithmBandwidth,
                    1e-9
                )
        );
    }
}
