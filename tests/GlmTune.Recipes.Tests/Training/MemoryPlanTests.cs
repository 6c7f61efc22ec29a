using GlmTune.Model;
using GlmTune.Model.Glm4;
using GlmTune.Recipes.Training;
using GlmTune.Training.Sharding;
using static TorchSharp.torch;

namespace GlmTune.Recipes.Tests.Training;

public sealed class MemoryPlanTests
{
    private const long Gib = 1L << 30;
    private static readonly ModelConfig Config = Glm4Config.Glm4_9B;

    [Fact]
    public void All_weights_take_eighteen_bytes_a_parameter_and_what_passes_through()
    {
        var plan = Plan("sft.yaml", new ShardingOptions(), ranks: 1, tokens: 1000);
        var parameters = Config.ParameterCount;
        Assert.Equal(
            [
                ("weights (bfloat16)", 2 * parameters),
                ("gradients (float32)", 4 * parameters),
                ("master weights (float32)", 4 * parameters),
                ("AdamW's two moments (float32)", 8 * parameters),
                ("inputs of the layers", 1000L * 4096 * 2 * 40),
            ],
            plan.Device.Select(part => (part.Name, part.Bytes))
        );
        Assert.Empty(plan.Host);
        Assert.Equal(plan.Device.Sum(part => part.Bytes), plan.DeviceBytes);
    }

    [Theory]
    [InlineData(0, 1, 18.0)]
    [InlineData(1, 4, 2 + (16.0 / 4))]
    [InlineData(2, 8, 2 + (16.0 / 8))]
    [InlineData(3, 8, 16.0 / 8)]
    public void Stages_divide_what_they_spread(int stage, int ranks, double bytesPerParameter)
    {
        var plan = Plan("sft.yaml", new ShardingOptions { Stage = stage }, ranks, tokens: 0);
        var gathered = stage == 3 ? 151552L * 4096 * 2 : 0;
        Assert.Equal(bytesPerParameter * Config.ParameterCount, plan.DeviceBytes - gathered, 8.0);
    }

    [Fact]
    public void Offloaded_state_is_counted_in_host_memory()
    {
        var options = new ShardingOptions
        {
            Stage = 3,
            OffloadOptimizer = true,
            OffloadParameters = true,
        };
        var plan = Plan("sft.yaml", options, ranks: 1, tokens: 0);
        Assert.Equal(12 * Config.ParameterCount + 2 * Config.ParameterCount, plan.HostBytes);
        Assert.Equal(4 * Config.ParameterCount + 151552L * 4096 * 2, plan.DeviceBytes);
    }

    [Fact]
    public void An_adapter_takes_the_frozen_weights_and_little_more()
    {
        var plan = Plan("lora.yaml", new ShardingOptions(), ranks: 1, tokens: 0);
        // Rank 8 on query_key_value: 4096 in, 4608 out, 40 layers; 2 bytes in the layers and 16 of training each.
        var trained = 40L * 8 * (4096 + 4608);
        Assert.Equal(2 * Config.ParameterCount + 18 * trained, plan.DeviceBytes);
        var rounded = Plan("lora.yaml", new ShardingOptions(), 1, 0, "training_args.fp8_base=true");
        Assert.Equal(40 * Config.ParametersPerLayer, plan.DeviceBytes - rounded.DeviceBytes);
    }

    [Fact]
    public void A_run_that_cannot_fit_is_refused_with_the_arithmetic_and_ways_out()
    {
        var recipe = Recipe("sft.yaml");
        var sharding = recipe.Plan(Config.HiddenSize, 1).Sharding;
        Assert.Equal(3, sharding.Stage);
        string Check(long free, int ranks) =>
            MemoryPlan.Check(Config, recipe, sharding, ranks, ScalarType.BFloat16, 769, (free, "cuda:0"));
        var error = Assert.Throws<InvalidDataException>(() => Check(79 * Gib, 1)).Message;
        Assert.Contains("training all weights needs at least 141.5 GiB (", error, StringComparison.Ordinal);
        Assert.Contains("gradients (float32) 35.0 GiB", error, StringComparison.Ordinal);
        Assert.Contains("AdamW's two moments (float32) 70.0 GiB", error, StringComparison.Ordinal);
        Assert.Contains("79.0 GiB are free on cuda:0. Nothing was loaded.", error, StringComparison.Ordinal);
        Assert.Contains("train an adapter", error, StringComparison.Ordinal);
        Assert.Contains("offload_optimizer", error, StringComparison.Ordinal);
        Assert.Contains("ZeRO stage 3 on at least 2 such GPUs", error, StringComparison.Ordinal);
        Assert.Contains("of 79.0 GiB free on cuda:0", Check(79 * Gib, 4), StringComparison.Ordinal);
    }

    [Fact]
    public void A_GPU_too_small_for_an_adapter_is_told_what_makes_it_smaller()
    {
        var recipe = Recipe("lora.yaml");
        string Check(long free) =>
            MemoryPlan.Check(Config, recipe, new ShardingOptions(), 1, ScalarType.BFloat16, 1025, (free, "cuda:0"));
        var error = Assert.Throws<InvalidDataException>(() => Check(12 * Gib)).Message;
        Assert.Contains("the adapter's training needs at least 17.", error, StringComparison.Ordinal);
        Assert.Contains("fp8_base", error, StringComparison.Ordinal);
        Assert.StartsWith("memory: at least 17.", Check(24 * Gib), StringComparison.Ordinal);
    }

    private static Recipe Recipe(string name, params string[] settings) =>
        RecipeFile.Read(Path.Combine(TinyRun.Repository, "configs", name), settings);

    private static MemoryPlan Plan(
        string recipe,
        ShardingOptions sharding,
        int ranks,
        long tokens,
        params string[] settings
    ) => MemoryPlan.For(Config, Recipe(recipe, settings), sharding, ranks, ScalarType.BFloat16, tokens);
}
