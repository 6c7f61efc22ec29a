using GlmTune.Model;
using GlmTune.Model.Glm4;
using GlmTune.Recipes.Planning;
using GlmTune.Training;
using GlmTune.Training.Optimization;
using GlmTune.Training.Sharding;
using static TorchSharp.torch;

namespace GlmTune.Recipes.Tests.Planning;

public sealed class MemoryPlanTests
{
    private const long Gib = 1L << 30;
    private static readonly ModelConfig Config = Glm4Config.Glm4_9B;

    [Fact]
    public void All_weights_take_eighteen_bytes_a_parameter()
    {
        var plan = MemoryPlan.For(Demand("sft.yaml", new ShardingOptions(), ranks: 1));
        var parameters = Config.ParameterCount;
        Assert.Equal(
            [
                ("weights (bfloat16)", 2 * parameters),
                ("gradients (float32)", 4 * parameters),
                ("master weights (float32)", 4 * parameters),
                ("AdamW's two moments (float32)", 8 * parameters),
            ],
            plan.Device.Take(4).Select(part => (part.Name, part.Bytes))
        );
        Assert.Empty(plan.Host);
        Assert.Equal(plan.Device.Sum(part => part.Bytes), plan.DeviceBytes);
    }

    [Theory]
    [InlineData(0, 1, 18.0)]
    [InlineData(1, 4, 2 + (16.0 / 4))]
    [InlineData(2, 8, 2 + (16.0 / 8))]
    [InlineData(3, 8, 16.0 / 8)]
    public void Stages_divide_what_they_shard(int stage, int ranks, double bytesPerParameter)
    {
        var plan = MemoryPlan.For(Demand("sft.yaml", new ShardingOptions { Stage = stage }, ranks));
        var state = plan
            .Device.Where(part =>
                part.Name is "weights (bfloat16)" || part.Name.EndsWith("(float32)", StringComparison.Ordinal)
            )
            .Where(part => !part.Name.Contains("embedding", StringComparison.Ordinal))
            .Sum(part => part.Bytes);
        Assert.Equal(bytesPerParameter * Config.ParameterCount, state, 8.0);
    }

    [Theory]
    // Weights and gradients of 2 bytes, and the moments.
    [InlineData(StateType.BFloat16, false, 2 + 2 + 4)]
    [InlineData(StateType.Int8, false, 2 + 2 + 2 + (8.0 / 256))]
    [InlineData(StateType.Float32, false, 2 + 2 + 8)]
    // With master weights, gradients of 4 bytes.
    [InlineData(StateType.Int8, true, 2 + 4 + 4 + 2 + (8.0 / 256))]
    public void Smaller_state_takes_as_many_bytes_a_parameter(StateType moments, bool masters, double bytesPerParameter)
    {
        var options = new ShardingOptions
        {
            State = new StateOptions { Moments = moments, MasterWeights = masters },
        };
        var plan = MemoryPlan.For(Demand("sft.yaml", options, ranks: 1));
        var state = plan.Device.TakeWhile(part => part.Name != "gradients on their way").Sum(part => part.Bytes);
        Assert.Equal(bytesPerParameter * Config.ParameterCount, state, 2000.0);
        // Streamed through the GPU, all of it is on the host, and nothing else changes.
        var onHost = MemoryPlan.For(Demand("sft.yaml", options.WithOptimizerOnHost(), ranks: 1));
        var moved = (bytesPerParameter - (masters ? 6 : 4)) * Config.ParameterCount;
        Assert.Equal(moved, onHost.HostBytes, 2000.0);
        var buffers = StreamedAdamW.BufferBytes + (masters ? 2 * Config.ParameterCount : 0);
        Assert.Equal(plan.DeviceBytes - moved + buffers, onHost.DeviceBytes, 2000.0);
    }

    [Fact]
    public void Eight_GPUs_need_no_sharded_weights_with_state_in_bfloat16()
    {
        var options = new ShardingOptions
        {
            Stage = 1,
            State = new StateOptions { Moments = StateType.BFloat16, MasterWeights = false },
        };
        var demand = Demand("sft.yaml", options, ranks: 8, "training_args.gradient_accumulation_steps=4");
        var plan = MemoryPlan.For(demand);
        Assert.Contains(plan.Device, part => part.Name == "gradients while accumulating (bfloat16)");
        var state = plan.Device.TakeWhile(part => part.Name != "gradients on their way").Sum(part => part.Bytes);
        // Weights and whole gradients, and an eighth of gradients and moments.
        Assert.Equal((2 + 2 + (6.0 / 8)) * Config.ParameterCount, state, 8.0);
        Assert.True(Fit(demand, 79 * Gib).Fits);
    }

    [Fact]
    public void Gradients_of_one_layer_are_enough_behind_the_backward_pass()
    {
        var recipe = Recipe("sft-one-gpu.yaml", "training_args.gradient_accumulation_steps=1");
        var whole = MemoryPlan.For(Demand(recipe));
        var byLayer = MemoryPlan.For(Demand(recipe with { Optimizer = recipe.Optimizer with { MaxGradientNorm = 0 } }));
        var table = 2L * Config.VocabularySize * Config.HiddenSize;
        Assert.Equal(whole.DeviceBytes - (2 * Config.ParameterCount) + table, byLayer.DeviceBytes, 2L << 20);
    }

    [Fact]
    public void A_card_of_24_GiB_takes_all_weights_with_everything_on_the_host()
    {
        var recipe = Recipe(
            "sft-one-gpu.yaml",
            "training_args.offload_optimizer=true",
            "training_args.offload_param=true",
            "training_args.offload_activations=true"
        );
        var plan = MemoryPlan.For(Demand(recipe) with { WithContext = true }, 24 * Gib);
        Assert.InRange(plan.DeviceBytes, 20 * Gib, 24 * Gib);
        // Weights and two codes, and the layers' inputs.
        Assert.InRange(plan.HostBytes, 4L * Config.ParameterCount, 5L * Config.ParameterCount);
        var advice = Fit(Demand(Recipe("sft.yaml")) with { WithContext = true }, 24 * Gib).OtherWays()[0];
        Assert.StartsWith(
            "set training_args.optimizer_state: bfloat16, training_args.master_weights: none, "
                + "training_args.offload_optimizer: true, training_args.offload_param: true",
            advice,
            StringComparison.Ordinal
        );
    }

    [Fact]
    public void The_recipe_for_one_GPU_fits_80_GB() =>
        Assert.InRange(
            MemoryPlan.For(Demand(Recipe("sft-one-gpu.yaml")) with { WithContext = true }, 80 * Gib).DeviceBytes,
            60 * Gib,
            76 * Gib
        );

    [Fact]
    public void Offloaded_state_is_counted_in_host_memory()
    {
        var options = new ShardingOptions
        {
            Stage = 3,
            OffloadOptimizer = true,
            OffloadParameters = true,
        };
        var plan = MemoryPlan.For(Demand("sft.yaml", options, ranks: 1));
        Assert.Equal((12 + 2) * Config.ParameterCount, plan.HostBytes);
        Assert.DoesNotContain(plan.Device, part => part.Name.Contains("AdamW", StringComparison.Ordinal));
    }

    [Theory]
    // Master weights and two moments of 4 bytes; rank 0 also receives the weights of the others.
    [InlineData("sft.yaml", 0, 1, 12.0)]
    [InlineData("sft.yaml", 1, 4, (12.0 / 4) + 2)]
    [InlineData("sft.yaml", 3, 4, 12.0 / 4)]
    [InlineData("sft.yaml", 0, 1, 4.0, "training_args.save_only_model=true")]
    [InlineData("sft.yaml", 0, 1, 0.0, "training_args.save_async=false")]
    [InlineData("sft.yaml", 0, 1, 0.0, "training_args.save_strategy=no")]
    [InlineData("lora.yaml", 0, 1, 12.0)]
    public void The_copy_of_a_checkpoint_is_counted_in_host_memory(
        string name,
        int stage,
        int ranks,
        double bytesPerParameter,
        params string[] settings
    )
    {
        var trained = name == "sft.yaml" ? Config.ParameterCount : 40L * 8 * (4096 + 4608);
        var demand = MemoryDemand.Of(
            Config,
            Recipe(name, settings),
            new ShardingOptions { Stage = stage },
            ranks,
            ScalarType.BFloat16
        );
        var plan = MemoryPlan.For(demand);
        Assert.Equal(bytesPerParameter * trained, plan.HostBytes, 8.0);
        Assert.Equal(plan.HostBytes, plan.CopyBytes);
    }

    [Fact]
    public void A_copy_that_does_not_fit_is_left_out_instead_of_refused()
    {
        var demand = MemoryDemand.Of(Config, Recipe("sft.yaml"), new ShardingOptions(), 1, ScalarType.BFloat16);
        var large = MemoryFit.Of(demand, 500 * Gib, "cuda:0", host: 128 * Gib);
        Assert.True(large.Fits);
        Assert.Equal(12 * Config.ParameterCount, large.Plan.CopyBytes);
        var small = MemoryFit.Of(demand, 500 * Gib, "cuda:0", host: 64 * Gib);
        Assert.True(small.Fits);
        Assert.Empty(small.Plan.Host);
    }

    [Fact]
    public void An_adapter_takes_the_frozen_weights_and_little_more()
    {
        var plan = MemoryPlan.For(Demand("lora.yaml", new ShardingOptions(), ranks: 1));
        // Rank 8 on query_key_value: 4096 in, 4608 out, 40 layers; 2 bytes in the layers and 16 of training each.
        var trained = 40L * 8 * (4096 + 4608);
        Assert.Equal(2 * Config.ParameterCount, plan.Device[0].Bytes);
        Assert.Equal(18 * trained, plan.Device.Skip(1).Take(4).Sum(part => part.Bytes));
        // Both copies of fp8 together are as large; quantizing takes memory once.
        var rounded = MemoryPlan.For(Demand("lora.yaml", new ShardingOptions(), 1, "training_args.fp8_base=true"));
        Assert.Equal(plan.Device[0].Bytes, rounded.Device[0].Bytes);
        Assert.InRange(rounded.DeviceBytes - plan.DeviceBytes, 1, 2 * Gib);
    }

    [Fact]
    public void Quantized_weights_take_their_bits_and_two_buffers_for_the_largest_weight()
    {
        var layers = Config.ParametersPerLayer * Config.LayerCount;
        var others = 2 * (Config.ParameterCount - layers);
        foreach (var (type, bits) in ((string, double)[])[("nf4", 4.127), ("int8", 8)])
        {
            var plan = MemoryPlan.For(Demand("lora.yaml", new ShardingOptions(), 1, $"quantization={type}"));
            Assert.Equal($"weights (bfloat16, layers {type})", plan.Device[0].Name);
            Assert.Equal(others + (layers * bits / 8), plan.Device[0].Bytes, 0.001 * layers);
            var buffers = plan.Device.Single(part => part.Name == "dequantized weights").Bytes;
            Assert.Equal(2 * 2L * 27392 * 4096, buffers);
        }
    }

    [Fact]
    public void Nf4_is_proposed_last_where_nothing_else_is_enough_and_can_be_applied()
    {
        var demand = Demand("lora.yaml", new ShardingOptions(), 1);
        Assert.DoesNotContain(Fit(demand, 24 * Gib).Changes, change => change.Kind == MemoryChangeKind.Quantization);
        var fit = Fit(demand, 12 * Gib);
        Assert.Equal(MemoryChangeKind.Quantization, fit.Changes[^1].Kind);
        Assert.InRange(fit.Changed!.DeviceBytes, 5 * Gib, 12 * Gib);
        Assert.Contains("quantization: nf4", fit.Refusal(change => $"{change}"), StringComparison.Ordinal);
        var changed = fit.Changes[^1].Apply(Recipe("lora.yaml"));
        Assert.Equal(BaseQuantization.Nf4, changed.Training.Quantization);
        // Weights that are trained beside the adapter stay as they are.
        var beside = Demand("lora.yaml", new ShardingOptions(), 1, "peft_config.modules_to_save=[dense_4h_to_h]");
        Assert.DoesNotContain(MemoryChange.Possible(beside), change => change.Kind == MemoryChangeKind.Quantization);
    }

    [Fact]
    public void A_run_that_cannot_fit_is_refused_with_the_arithmetic_and_what_makes_it_fit()
    {
        var recipe = Recipe("sft.yaml");
        var sharding = recipe.Plan(Config.HiddenSize, 1).Sharding;
        Assert.Equal(3, sharding.Stage);
        var fit = Fit(Demand("sft.yaml", sharding, 1), 79 * Gib);
        Assert.True(fit.IsImpossible);
        var error = Assert.Throws<InvalidDataException>(() => fit.Require(change => $"{change}")).Message;
        Assert.Matches("training all weights needs 1[45][0-9.]+ GiB \\(", error);
        Assert.Contains("gradients (float32) 35 GiB", error, StringComparison.Ordinal);
        Assert.Contains("AdamW's two moments (float32) 70 GiB", error, StringComparison.Ordinal);
        Assert.Contains("79 GiB are available on cuda:0.", error, StringComparison.Ordinal);
        Assert.Contains("set training_args.offload_optimizer: true", error, StringComparison.Ordinal);
        Assert.Contains("train an adapter", error, StringComparison.Ordinal);
        Assert.Contains("ZeRO stage 3 on at least", error, StringComparison.Ordinal);
        Assert.EndsWith("Nothing was loaded.", error, StringComparison.Ordinal);
    }

    [Fact]
    public void The_cheapest_changes_come_first_and_none_is_needless()
    {
        string[] settings = ["training_args.gradient_checkpointing=false", "training_args.pack_length=32768"];
        var demand = Demand("lora.yaml", new ShardingOptions(), 1, settings);
        // With recomputation alone, where that is enough.
        Assert.Equal([MemoryChangeKind.Recompute], Fit(demand, 60 * Gib).Changes.Select(change => change.Kind));
        var small = Fit(demand, 24 * Gib);
        Assert.Equal(
            [MemoryChangeKind.Recompute, MemoryChangeKind.PackLength],
            small.Changes.Select(change => change.Kind)
        );
        Assert.InRange(small.Changed!.DeviceBytes, 17 * Gib, 24 * Gib);
        Assert.Contains(
            Fit(demand, (long)(18.2 * Gib)).Changes,
            change => change.Kind == MemoryChangeKind.OffloadEmbedding
        );
        var none = Fit(demand, 5 * Gib);
        Assert.Empty(none.Changes);
        Assert.Contains("No setting makes it fit", none.Advice(change => $"{change}"), StringComparison.Ordinal);
        Assert.True(Fit(demand, 500 * Gib).Fits);
    }

    [Fact]
    public void Offloads_are_compared_with_host_memory()
    {
        var demanded = Demand("lora.yaml", new ShardingOptions(), 1) with
        {
            Tokens = 131_072,
            LongestSequence = 131_072,
            MinTokens = null,
        };
        var rich = MemoryFit.Of(demanded, 40 * Gib, "cuda:0", host: 64 * Gib);
        Assert.Contains(rich.Changes, change => change.Kind == MemoryChangeKind.OffloadActivations);
        Assert.Equal(40 * Gib, rich.Changed!.HostBytes);
        // 40 GiB of inputs do not go there.
        var poor = MemoryFit.Of(demanded, 40 * Gib, "cuda:0", host: 32 * Gib);
        Assert.DoesNotContain(poor.Changes, change => change.Kind == MemoryChangeKind.OffloadActivations);
        var asked = MemoryFit.Of(
            rich.Changes.Aggregate(demanded, (demand, change) => change.Apply(demand)),
            40 * Gib,
            "cuda:0",
            host: 32 * Gib
        );
        Assert.False(asked.Fits);
        var error = Assert.Throws<InvalidDataException>(() => asked.Require(change => $"{change}")).Message;
        Assert.Contains("needs 40 GiB there on each rank; this machine has 32 GiB", error, StringComparison.Ordinal);
    }

    [Fact]
    public void Fewer_rows_at_a_time_become_more_micro_batches()
    {
        var recipe = Recipe("lora.yaml", "training_args.packing=false", "training_args.per_device_train_batch_size=64");
        var demand = MemoryDemand.Of(Config, recipe, new ShardingOptions(), 1, ScalarType.BFloat16, 1024);
        Assert.Equal(64 * 1024, demand.Tokens);
        var change = Fit(demand, 21 * Gib).Changes.Single(change => change.Kind == MemoryChangeKind.Rows);
        var changed = change.Apply(recipe).Training;
        Assert.Equal(change.Value, changed.MicroBatchSize);
        Assert.Equal(64 * recipe.Training.AccumulationSteps, changed.MicroBatchSize * changed.AccumulationSteps);
    }

    [Fact]
    public void Recomputation_is_chosen_by_the_memory_that_there_is()
    {
        var demand = Demand("lora.yaml", new ShardingOptions(), 1, "training_args.pack_length=8192");
        Assert.Equal(new RecomputePlan(0, 0), MemoryPlan.For(demand, 79 * Gib).Recomputed);
        Assert.Equal(40, MemoryPlan.For(demand, 24 * Gib).Recomputed.Whole);
        Assert.InRange(MemoryPlan.For(demand, 40 * Gib).DeviceBytes, 24 * Gib, 40 * Gib);
    }

    private static MemoryFit Fit(MemoryDemand demand, long available) => MemoryFit.Of(demand, available, "cuda:0");

    private static Recipe Recipe(string name, params string[] settings) =>
        RecipeFile.Read(Path.Combine(TinyRun.Repository, "configs", name), settings);

    // Without the copy of a checkpoint, which has a test of its own.
    private static MemoryDemand Demand(string recipe, ShardingOptions sharding, int ranks, params string[] settings) =>
        MemoryDemand.Of(Config, Recipe(recipe, settings), sharding, ranks, ScalarType.BFloat16) with
        {
            CopiesCheckpoints = false,
        };

    private static MemoryDemand Demand(Recipe recipe) =>
        MemoryDemand.Of(Config, recipe, recipe.Plan(Config.HiddenSize, 1).Sharding, 1, ScalarType.BFloat16) with
        {
            CopiesCheckpoints = false,
        };

    [Fact]
    public void Answers_that_cannot_fit_are_refused_with_the_arithmetic()
    {
        // 64 answers of 384 tokens, 40 KiB each, and the weights.
        var parts = AnswerMemory.For(Config, ScalarType.BFloat16, 64, 384, 4096, cacheBytes: 4 * Gib);
        Assert.Equal(("keys and values", 64L * 384 * 40 * 1024), (parts[1].Name, parts[1].Bytes));
        Assert.InRange(parts.Sum(part => part.Bytes), 18 * Gib, 20 * Gib); // 20,483 MiB measured with CUDA and graphs.
        AnswerMemory.Require(parts, 24 * Gib, "cuda:0", "Use less.");
        AnswerMemory.Require(parts, null, "cpu", "Use less.");
        var error = Assert.Throws<InvalidDataException>(() =>
            AnswerMemory.Require(parts, 16 * Gib, "cuda:0", "Use less.")
        );
        Assert.Contains("weights 17.5 GiB", error.Message, StringComparison.Ordinal);
        Assert.EndsWith(
            "16 GiB are free on cuda:0. Nothing was loaded. Use less.",
            error.Message,
            StringComparison.Ordinal
        );
        Assert.Equal(4 * Gib, AnswerMemory.For(Config, ScalarType.BFloat16, 4096, 8192, 4096, 4 * Gib)[1].Bytes);
    }
}
