using GlmTune.Kernels.Definitions;
using GlmTune.Model.Adapters;
using GlmTune.Model.Glm4;
using GlmTune.Recipes.Planning;
using GlmTune.Training;
using GlmTune.Training.Optimization;
using GlmTune.Training.Sharding;

namespace GlmTune.Recipes.Tests.Planning;

/// <summary>Predictions beside what was measured on H100s and an H200 (benchmarks/results): the 9B shape in
/// bfloat16.</summary>
public sealed class MeasuredMemoryTests
{
    private const long Mebibyte = 1 << 20;

    private static readonly MemoryDemand Lora = new()
    {
        Config = Glm4Config.Glm4_9B,
        Lora = new LoraOptions(),
        Tokens = 1024,
        LongestSequence = 1024,
        CudaGraphs = false,
        WithContext = true,
    };

    private static readonly Dictionary<string, (MemoryDemand Demand, double MiB)> Cases = new()
    {
        ["LoRA 1 × 1024, all recomputed"] = (Recomputed(Lora), 19_345),
        ["the same, embedding on the host"] = (Recomputed(Lora) with { OffloadEmbedding = true }, 18_159),
        ["prefix 512, 4 × 256, all recomputed"] = (Recomputed(Prefix(512, 1024)), 19_465),
        ["the prefix, embedding on the host"] = (
            Recomputed(Prefix(512, 1024)) with
            {
                OffloadEmbedding = true,
            },
            18_279
        ),
        ["LoRA 8 × 1024, nothing recomputed"] = (Lora with { Tokens = 8192 }, 51_175),
        ["LoRA 8 × 1024, fp8, nothing recomputed"] = (Lora with { Tokens = 8192, Frozen = FrozenType.Fp8 }, 52_283),
        ["prefix 128, 4 × 1024, nothing recomputed"] = (Prefix(128, 4096), 35_179),
        ["LoRA 1 × 192, CUDA graphs"] = (Lora with { Tokens = 192, CudaGraphs = true }, 21_133),
        // 70.5 GB.
        ["LoRA 1 × 98304, all recomputed"] = (Recomputed(Untiled(98_304)), 70.5e9 / Mebibyte),
        ["all weights, 14 layers, 4 × 1024"] = (Recomputed(Full(14, 4096)), 77_107),
        ["the same, ZeRO-3 of one"] = (Recomputed(Full(14, 4096, 3)), 75_529),
        ["all weights, 10 layers, 8 × 1024, ZeRO-3 of one"] = (Full(10, 8192, 3), 69_167),
        ["all weights, 4 layers, 4 × 1024, ZeRO-3, optimizer on the host"] = (
            Recomputed(Full(4, 4096, 3, offload: true)),
            21_291
        ),
        ["all weights, 40 layers, 4 × 1024, ZeRO-3, optimizer on the host"] = (
            Recomputed(Full(40, 4096, 3, offload: true)),
            64_171
        ),
        ["all weights, 28 layers, 8 × 1024, ZeRO-3 of two"] = (
            Full(28, 8192, 3, ranks: 2) with
            {
                Recompute = new RecomputePlan(19, 9),
            },
            71_041
        ),
        ["all weights, 18 layers, 8 × 1024, ZeRO-2 of two"] = (Full(18, 8192, 2, ranks: 2), 72_685),
        ["all weights, 18 layers, 8 × 1024, ZeRO-3 of two"] = (Full(18, 8192, 3, ranks: 2), 65_383),
        ["all weights, 40 layers, 8 × 1024, ZeRO-3 of two, optimizer on the host"] = (
            Full(40, 8192, 3, ranks: 2, offload: true) with
            {
                Recompute = new RecomputePlan(0, 15),
            },
            72_287
        ),
        // Measured on an H200 after the prediction was made.
        ["LoRA 8 × 1024, all recomputed"] = (Recomputed(Lora with { Tokens = 8192 }), 23_169),
        ["LoRA 4 × 1024, nothing recomputed"] = (Lora with { Tokens = 4096 }, 35_019),
        ["LoRA 8 × 1024, nothing recomputed, H200"] = (Lora with { Tokens = 8192 }, 51_029),
        ["LoRA 1 × 16384, all recomputed"] = (Recomputed(Lora with { Tokens = 16_384 }), 27_559),
        ["LoRA 1 × 32768, all recomputed"] = (Recomputed(Untiled(32_768)), 36_369),
        ["LoRA 1 × 131072, inputs on the host"] = (
            Recomputed(Lora with { Tokens = 131_072, OffloadActivations = true }),
            33_717
        ),
        ["prefix 512, 4 × 256, all recomputed, H200"] = (Recomputed(Prefix(512, 1024)), 19_611),
        ["LoRA 8 × 1024, fp8, all recomputed"] = (
            Recomputed(Lora with { Tokens = 8192, Frozen = FrozenType.Fp8 }),
            23_993
        ),
        ["all weights, 28 layers, 4 × 1024"] = (Recomputed(Full(28, 4096)), 126_565),
        ["all weights, 40 layers, 4 × 1024 × 16, int8, no master weights"] = (
            Small(StateType.Int8, onHost: false) with
            {
                Recompute = new RecomputePlan(0, 13),
            },
            76_201
        ),
        ["the same, bfloat16 moments on the host, nothing recomputed"] = (
            Small(StateType.BFloat16, onHost: true),
            60_985
        ),
    };

    public static TheoryData<string> Names => [.. Cases.Keys];

    [Theory]
    [MemberData(nameof(Names))]
    public void A_prediction_is_within_five_percent_of_what_was_measured(string name)
    {
        var (demand, measured) = Cases[name];
        var plan = MemoryPlan.For(demand with { Recompute = demand.Recompute ?? new RecomputePlan(0, 0) });
        var off = (plan.DeviceBytes / (double)Mebibyte / measured) - 1;
        Assert.True(Math.Abs(off) <= 0.05, $"{100 * off:F1} % off: {plan.DeviceBytes / Mebibyte} MiB: {plan}");
    }

    private static MemoryDemand Prefix(int tokens, long all) =>
        Lora with
        {
            Lora = null,
            Prefix = new PrefixTuningOptions { VirtualTokens = tokens },
            Tokens = all,
        };

    private static MemoryDemand Full(int layers, long tokens, int stage = 0, int ranks = 1, bool offload = false) =>
        Lora with
        {
            Lora = null,
            Config = Glm4Config.Glm4_9B with { LayerCount = layers },
            Sharding = new ShardingOptions { Stage = stage, OffloadOptimizer = offload },
            Ranks = ranks,
            Tokens = tokens,
        };

    // Measured before the feed-forward block ran in tiles.
    private static MemoryDemand Untiled(long tokens) => Lora with { Tokens = tokens, TileTokens = int.MaxValue };

    private static MemoryDemand Small(StateType moments, bool onHost)
    {
        var demand = Full(40, 4096);
        var sharding = demand.Sharding with { State = new StateOptions { Moments = moments, MasterWeights = false } };
        return demand with
        {
            AccumulationSteps = 16,
            Sharding = onHost ? sharding.WithOptimizerOnHost() : sharding,
        };
    }

    private static MemoryDemand Recomputed(MemoryDemand demand) =>
        demand with
        {
            Recompute = new RecomputePlan(demand.Config.LayerCount, 0),
        };
}
