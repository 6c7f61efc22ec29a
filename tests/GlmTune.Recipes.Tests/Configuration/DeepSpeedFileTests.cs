using GlmTune.Recipes.Training;
using GlmTune.Training;
using GlmTune.Training.Optimization;
using GlmTune.Training.Sharding;

namespace GlmTune.Recipes.Tests.Configuration;

public class DeepSpeedFileTests
{
    private static Recipe Recipe(string arguments = "per_device_train_batch_size: 1", params string[] overrides) =>
        RecipeText.Read(RecipeText.WithArguments(arguments), overrides);

    private static DeepSpeedPlan Resolve(string json, Recipe recipe, int hidden = 4096, int ranks = 8)
    {
        var path = Path.Combine(Path.GetTempPath(), $"{Guid.NewGuid():N}", "ds.json");
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        try
        {
            File.WriteAllText(path, json);
            return DeepSpeedFile.Read(path).Resolve(recipe, hidden, ranks);
        }
        finally
        {
            Directory.Delete(Path.GetDirectoryName(path)!, recursive: true);
        }
    }

    private static string[] Problems(string json, Recipe recipe) =>
        Assert.Throws<InvalidDataException>(() => Resolve(json, recipe)).Message.Split('\n');

    [Fact]
    public void The_shipped_stage_3_file_resolves_auto_from_the_models_width()
    {
        var plan = DeepSpeedFile.Read(RepositoryFolder.Of("configs", "ds_zero_3.json")).Resolve(Recipe(), 4096, 8);
        Assert.Equal(
            new ShardingOptions
            {
                Stage = 3,
                ReduceBucketElements = 16_777_216,
                AllGatherBucketElements = 500_000_000,
                SubGroupElements = 1_000_000_000,
                PrefetchElements = 15_099_494,
                PersistenceThreshold = 40_960,
                MaxLiveElements = 1_000_000_000,
                MaxReuseDistance = 1_000_000_000,
                GatherWeightsOnSave = true,
            },
            plan.Sharding
        );
        Assert.Equal(1, plan.Recipe.Optimizer.MaxGradientNorm);
        Assert.Equal(
            [
                "train_micro_batch_size_per_gpu: auto -> 1",
                "bf16.enabled: auto -> false: weights keep their type (bfloat16 on a GPU, float32 on a "
                    + "CPU) with float32 master weights",
                "gradient_clipping: (absent) -> 1",
                "optimizer.type: AdamW -> AdamW",
                "optimizer.params.lr: auto -> 5e-5",
                "optimizer.params.eps: auto -> 1e-8",
                "optimizer.params.weight_decay: auto -> 0",
                "optimizer.params.betas: auto -> [0.9, 0.999]",
                "zero_optimization.stage: 3 -> 3: optimizer state, gradients and weights are sharded",
                "zero_optimization.reduce_bucket_size: auto -> 16,777,216 elements",
                "zero_optimization.allgather_bucket_size: 5e8 -> 500,000,000 elements",
                "zero_optimization.sub_group_size: 1e9 -> 1,000,000,000 elements",
                "zero_optimization.stage3_prefetch_bucket_size: auto -> 15,099,494 elements",
                "zero_optimization.stage3_param_persistence_threshold: auto -> 40,960 elements",
                "zero_optimization.stage3_max_live_parameters: 1e9 -> 1,000,000,000 elements",
                "zero_optimization.stage3_max_reuse_distance: 1e9 -> 1,000,000,000 elements",
                "zero_optimization.stage3_gather_16bit_weights_on_model_save: true -> true",
                "zero_allow_untested_optimizer: true -> no effect here: all adapters and models are "
                    + "trained with the same AdamW",
            ],
            plan.Settings.Select(setting => setting.ToString())
        );
    }

    [Fact]
    public void The_shipped_stage_2_file_takes_batch_sizes_from_the_recipe_and_the_ranks()
    {
        var recipe = Recipe(
            "per_device_train_batch_size: 2\ngradient_accumulation_steps: 3\nmax_grad_norm: 0.5\nbf16: true"
        );
        var plan = DeepSpeedFile.Read(RepositoryFolder.Of("configs", "ds_zero_2.json")).Resolve(recipe, 4096, 4);
        Assert.Equal(2, plan.Sharding.Stage);
        Assert.Equal(500_000_000, plan.Sharding.ReduceBucketElements);
        var became = plan.Settings.ToDictionary(setting => setting.Key, setting => setting.Became);
        Assert.Equal(
            ("24", "2", "3", "0.5"),
            (
                became["train_batch_size"],
                became["train_micro_batch_size_per_gpu"],
                became["gradient_accumulation_steps"],
                became["gradient_clipping"]
            )
        );
        Assert.Equal("true: bfloat16 weights with float32 master weights", became["bf16.enabled"]);
        Assert.Equal("false", became["fp16.enabled"]);
        Assert.StartsWith("no effect here", became["steps_per_print"], StringComparison.Ordinal);
        Assert.StartsWith("no effect here", became["zero_optimization.contiguous_gradients"], StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(64, 4096, 3686, 640)]
    [InlineData(100, 10_000, 9_000, 1_000)]
    public void Auto_sizes_follow_the_width(int hidden, long bucket, long prefetch, long persistence)
    {
        var sharding = DeepSpeedFile
            .Read(RepositoryFolder.Of("configs", "ds_zero_3.json"))
            .Resolve(Recipe(), hidden, 2)
            .Sharding;
        Assert.Equal(
            (bucket, prefetch, persistence),
            (sharding.ReduceBucketElements, sharding.PrefetchElements, sharding.PersistenceThreshold)
        );
    }

    [Theory]
    [InlineData(
        "fp16.enabled",
        "fp16.loss_scale",
        "fp16.initial_scale_power",
        "fp16.loss_scale_window",
        "fp16.hysteresis",
        "fp16.min_loss_scale",
        "bf16.enabled"
    )]
    [InlineData(
        "train_batch_size",
        "train_micro_batch_size_per_gpu",
        "gradient_accumulation_steps",
        "gradient_clipping",
        "steps_per_print",
        "wall_clock_breakdown",
        "communication_data_type"
    )]
    [InlineData(
        "optimizer.type",
        "optimizer.params.lr",
        "optimizer.params.betas",
        "optimizer.params.eps",
        "optimizer.params.weight_decay",
        "scheduler.type",
        "zero_allow_untested_optimizer"
    )]
    [InlineData(
        "zero_optimization.stage",
        "zero_optimization.allgather_partitions",
        "zero_optimization.allgather_bucket_size",
        "zero_optimization.overlap_comm",
        "zero_optimization.reduce_scatter",
        "zero_optimization.reduce_bucket_size",
        "zero_optimization.contiguous_gradients",
        "zero_optimization.sub_group_size"
    )]
    [InlineData(
        "zero_optimization.stage3_prefetch_bucket_size",
        "zero_optimization.stage3_param_persistence_threshold",
        "zero_optimization.stage3_max_live_parameters",
        "zero_optimization.stage3_max_reuse_distance",
        "zero_optimization.stage3_gather_16bit_weights_on_model_save"
    )]
    [InlineData(
        "zero_optimization.offload_optimizer.device",
        "zero_optimization.offload_optimizer.pin_memory",
        "zero_optimization.offload_param.device",
        "zero_optimization.offload_param.pin_memory",
        "activation_checkpointing"
    )]
    public void Every_key_of_the_demos_files_and_of_those_that_users_have_is_known(params string[] keys)
    {
        var known = DeepSpeedFile.Keys.Select(key => key.Path).ToHashSet();
        Assert.All(
            keys,
            key =>
                Assert.True(
                    known.Contains(key) || known.Any(name => name.StartsWith($"{key}.", StringComparison.Ordinal)),
                    key
                )
        );
    }

    [Fact]
    public void An_empty_configuration_shards_nothing() =>
        Assert.Equal(new ShardingOptions(), Resolve("{}", Recipe()).Sharding);

    [Fact]
    public void A_recipe_without_a_configuration_is_planned_as_it_is()
    {
        var recipe = Recipe();
        var plan = recipe.Plan(64, 1);
        Assert.Same(recipe, plan.Recipe);
        Assert.Equal(0, plan.Sharding.Stage);
        Assert.Empty(plan.Settings);
    }

    [Fact]
    public void Offloading_is_translated()
    {
        var json =
            """{"zero_optimization": {"stage": 3, "offload_optimizer": {"device": "cpu", "pin_memory": false}, "offload_param": {"device": "cpu", "buffer_count": 5}}}""";
        var sharding = Resolve(json, Recipe()).Sharding;
        Assert.True(sharding is { OffloadOptimizer: true, OffloadParameters: true, PinMemory: false });
        Assert.True(
            Resolve("""{"zero_optimization": {"stage": 2, "cpu_offload": true}}""", Recipe()).Sharding
                is { OffloadOptimizer: true, PinMemory: true }
        );
    }

    [Theory]
    [InlineData("{}")]
    [InlineData("{training_args.deepspeed}")]
    public void An_older_name_is_read_as_often_as_the_file_is(string place)
    {
        const string json = """{"zero_optimization": {"stage": 3, "stage3_gather_fp16_weights_on_model_save": true}}""";
        var recipe = place == "{}" ? Recipe() : Recipe($"deepspeed: {json}");
        for (var time = 0; time < 3; time++)
        {
            var plan = place == "{}" ? Resolve(json, recipe) : recipe.Plan(64, time + 1);
            Assert.True(plan.Sharding.GatherWeightsOnSave);
        }

        Assert.Equal(
            Precision.BFloat16,
            Resolve("""{"bfloat16": {"enabled": true}}""", recipe).Recipe.Training.Precision
        );
    }

    [Fact]
    public void Two_names_for_one_key_are_a_contradiction() =>
        Assert.Contains(
            "'zero_optimization.stage3_gather_fp16_weights_on_model_save' is another name of "
                + "'stage3_gather_16bit_weights_on_model_save', which is set too",
            Problems(
                """
                {"zero_optimization": {"stage3_gather_fp16_weights_on_model_save": true,
                 "stage3_gather_16bit_weights_on_model_save": false}}
                """,
                Recipe()
            )[0],
            StringComparison.Ordinal
        );

    [Theory]
    [InlineData("\"round_robin_gradients\": true", "round_robin_gradients")]
    [InlineData("\"comms_config\": {\"verbose\": false}", "comms_config")]
    [InlineData("\"cuda_visible_devices\": \"0,1\"", "cuda_visible_devices")]
    [InlineData("\"_comment\": \"mine\"", "_comment")]
    [InlineData("\"zero_optimization\": {\"_stage\": 3}", "zero_optimization._stage")]
    [InlineData("\"fp16\": {\"_why\": 3}", "fp16._why")]
    public void A_key_that_changes_nothing_is_accepted_and_says_so(string line, string key)
    {
        var plan = Resolve($"{{{line}}}", Recipe());
        Assert.StartsWith(
            "no effect here: ",
            plan.Settings.Single(setting => setting.Key == key).Became,
            StringComparison.Ordinal
        );
        Assert.False(plan.Sharding.OffloadParameters);
    }

    [Theory]
    [InlineData("\"zero_optimization\": {\"stage\": 3, \"offload_param\": {\"device\": \"auto\"}}")]
    [InlineData("\"zero_optimization\": {\"stage\": 2, \"offload_optimizer\": {\"device\": \"auto\"}}")]
    [InlineData("\"amp\": {\"enabled\": \"auto\", \"opt_level\": \"auto\"}")]
    [InlineData("\"elasticity\": {\"enabled\": \"auto\"}")]
    public void Auto_leaves_what_is_not_asked_for_off(string line)
    {
        var sharding = Resolve($"{{{line}}}", Recipe()).Sharding;
        Assert.False(sharding.OffloadOptimizer || sharding.OffloadParameters);
    }

    [Fact]
    public void Float16_becomes_bfloat16_only_where_the_recipe_allows_it()
    {
        const string json = """{"fp16": {"enabled": true, "loss_scale": 0}}""";
        var plan = Resolve(json, Recipe("fp16: auto"));
        Assert.Equal(Precision.Auto, plan.Recipe.Training.Precision);
        Assert.Equal(
            "fp16.enabled: true -> bfloat16 on a GPU, float32 on a CPU",
            plan.Settings.First(setting => setting.Key == "fp16.enabled").ToString()
        );
        Assert.Single(Problems(json, Recipe("fp16: false")));
    }

    [Theory]
    [InlineData("WarmupLR", "\"auto\"", "", ScheduleKind.ConstantWithWarmup, 0)]
    [InlineData("WarmupDecayLR", "100", "", ScheduleKind.Linear, 100)]
    [InlineData("WarmupCosineLR", "\"auto\"", "warmup_steps: 7", ScheduleKind.Cosine, 7)]
    [InlineData("WarmupDecayLR", "100", "lr_scheduler_type: linear\nwarmup_steps: 100", ScheduleKind.Linear, 100)]
    public void A_scheduler_becomes_the_recipes_schedule(
        string type,
        string warmup,
        string arguments,
        ScheduleKind kind,
        int steps
    )
    {
        var json =
            $$$$"""{"scheduler": {"type": "{{{{type}}}}", "params": {"warmup_min_lr": 0, "warmup_max_lr": "auto", "warmup_num_steps": {{{{warmup}}}}, "total_num_steps": "auto"}}}""";
        var schedule = Resolve(json, Recipe($"max_steps: 1000\n{arguments}")).Recipe.Schedule;
        Assert.Equal((kind, steps), (schedule.Kind, schedule.WarmupSteps));
    }

    [Fact]
    public void Bfloat16_of_the_configuration_reaches_the_recipe()
    {
        Assert.Equal(
            Precision.BFloat16,
            Resolve("""{"bf16": {"enabled": true}}""", Recipe()).Recipe.Training.Precision
        );
        Assert.Equal(
            CommunicationType.BFloat16,
            Resolve("""{"communication_data_type": "bf16"}""", Recipe()).Sharding.Communication
        );
    }

    [Theory]
    [InlineData("\"zero_optimisation\": {}", "unknown key 'zero_optimisation'; did you mean 'zero_optimization'?")]
    [InlineData("\"zero_optimization\": {\"stge\": 2}", "unknown key 'zero_optimization.stge'; did you mean 'stage'?")]
    [InlineData("\"stage\": 2", "unknown key 'stage'; did you mean 'zero_optimization.stage'?")]
    [InlineData(
        "\"zero_optimization\": {\"stage\": 4}",
        "'zero_optimization.stage' is '4'; expected a whole number from 0 to 3"
    )]
    [InlineData(
        "\"zero_optimization\": {\"reduce_bucket_size\": \"big\"}",
        "'zero_optimization.reduce_bucket_size' is 'big'; expected a whole number of at least 0"
    )]
    [InlineData("\"zero_optimization\": true", "'zero_optimization' is 'true'; expected a mapping of keys to values")]
    [InlineData(
        "\"train_micro_batch_size_per_gpu\": 4",
        "'train_micro_batch_size_per_gpu' is 4, but 'training_args.per_device_train_batch_size' is 1; make them equal "
            + "or write \"auto\""
    )]
    [InlineData(
        "\"gradient_accumulation_steps\": 2",
        "'gradient_accumulation_steps' is 2, but 'training_args.gradient_accumulation_steps' is 1, its default; make "
            + "them equal or write \"auto\""
    )]
    [InlineData(
        "\"train_batch_size\": 16",
        "'train_batch_size' is 16, but 8 ranks × per_device_train_batch_size 1 × gradient_accumulation_steps 1 = 8; "
            + "write \"auto\""
    )]
    [InlineData(
        "\"gradient_clipping\": 0.5",
        "'gradient_clipping' is 0.5, but 'training_args.max_grad_norm' is 1, its default; make them equal or write "
            + "\"auto\""
    )]
    [InlineData(
        "\"fp16\": {\"enabled\": true}",
        "'fp16.enabled' is true, but float16 is not supported: it needs loss scaling; use bf16, or set "
            + "training_args.fp16 to auto, which trains in bfloat16 instead (in float32 on a CPU)"
    )]
    [InlineData("\"optimizer\": {\"type\": \"Lamb\"}", "'optimizer.type' is 'Lamb'; expected one of AdamW, Adam")]
    [InlineData(
        "\"optimizer\": {\"params\": {\"lr\": 1e-3}}",
        "'optimizer.params.lr' is 0.001, but 'training_args.learning_rate' is 5e-5, its default; make them equal or "
            + "write \"auto\""
    )]
    [InlineData(
        "\"optimizer\": {\"params\": {\"betas\": [0.8, 0.999]}}",
        "'optimizer.params.betas' is [0.8, 0.999], but 'training_args.adam_beta1' is 0.9 and 'adam_beta2' is 0.999; "
            + "make them equal or write \"auto\""
    )]
    [InlineData(
        "\"optimizer\": {\"params\": {\"betas\": 0.9}}",
        "'optimizer.params.betas' is '0.9'; expected two numbers from 0 to below 1, or \"auto\""
    )]
    [InlineData(
        "\"scheduler\": {\"type\": \"OneCycle\"}",
        "'scheduler.type' is 'OneCycle'; expected one of WarmupLR, WarmupDecayLR, WarmupCosineLR, or no " + "scheduler"
    )]
    [InlineData(
        "\"scheduler\": {\"params\": {\"total_num_steps\": 10}}",
        "'scheduler.params.total_num_steps' is 10, but the run is measured in epochs; make them equal or "
            + "write \"auto\""
    )]
    [InlineData(
        "\"scheduler\": {\"params\": {\"warmup_num_steps\": 10, \"warmup_type\": \"log\"}}",
        "'scheduler.params.warmup_type' is 'log', which is not supported; write linear"
    )]
    [InlineData(
        "\"zero_optimization\": {\"stage\": 3, \"offload_param\": {\"device\": \"nvme\"}}",
        "'zero_optimization.offload_param.device' is 'nvme', which is not supported; write cpu"
    )]
    [InlineData(
        "\"zero_optimization\": {\"stage\": 3, \"zero_quantized_weights\": true}",
        "'zero_optimization.zero_quantized_weights' is not supported: weights and gradients are sent in "
            + "full to all ranks; remove it"
    )]
    [InlineData("\"amp\": {\"enabled\": true}", "'amp' is not supported: remove it")]
    public void A_key_that_cannot_hold_is_named_with_its_line(string line, string problem) =>
        Assert.Equal([$"ds.json, line 2: {problem}"], Problems($"{{\n{line}\n}}", Recipe()));

    [Theory]
    [InlineData("dtype: float32", "true", "'training_args.dtype' is float32")]
    [InlineData("bf16: false", "true", "'training_args.bf16' is false")]
    [InlineData("bf16: true", "false", "the recipe asks for bfloat16 (bf16 or dtype)")]
    public void Precision_may_not_contradict_the_recipe(string arguments, string enabled, string reason) =>
        Assert.Equal(
            [$"ds.json, line 1: 'bf16.enabled' is {enabled}, but {reason}; make them equal or write \"auto\""],
            Problems($"{{\"bf16\": {{\"enabled\": {enabled}}}}}", Recipe(arguments))
        );

    [Theory]
    [InlineData(
        "lr_scheduler_type: cosine",
        "\"type\": \"WarmupDecayLR\"",
        "'scheduler.type' is 'WarmupDecayLR', but 'training_args.lr_scheduler_type' is cosine; make them "
            + "match or remove one"
    )]
    [InlineData(
        "warmup_steps: 5",
        "\"params\": {\"warmup_num_steps\": 10}",
        "'scheduler.params.warmup_num_steps' is 10, but 'training_args.warmup_steps' is 5; make them equal or write "
            + "\"auto\""
    )]
    [InlineData(
        "warmup_ratio: 0.1",
        "\"params\": {\"warmup_num_steps\": 10}",
        "'scheduler.params.warmup_num_steps' is 10, but 'training_args.warmup_ratio' is 0.1; make them equal or write "
            + "\"auto\""
    )]
    [InlineData(
        "max_steps: 50",
        "\"params\": {\"total_num_steps\": 10}",
        "'scheduler.params.total_num_steps' is 10, but 'training_args.max_steps' is 50; make them equal or write "
            + "\"auto\""
    )]
    public void The_schedule_may_not_contradict_the_recipe(string arguments, string scheduler, string problem) =>
        Assert.Equal(
            [$"ds.json, line 1: {problem}"],
            Problems($"{{\"scheduler\": {{{scheduler}}}}}", Recipe(arguments))
        );

    [Theory]
    [InlineData("{\n\"a\": \n}", "ds.json, line 3: invalid JSON: ")]
    [InlineData("{} {}", "ds.json, line 1: invalid JSON: ")]
    [InlineData("", "ds.json, line 1: invalid JSON: the text is empty")]
    [InlineData("{\"zero", "ds.json, line 1: invalid JSON: the string that begins")]
    [InlineData("{'a': 1}", "ds.json, line 1: invalid JSON: found ' (a single quote)")]
    [InlineData("// one\n{/* 2\n */ \"a\": [1,], \"b\": tru}", "ds.json, line 3: invalid JSON: found 'tru'")]
    [InlineData("{\"a\": 1,,\n}", "ds.json, line 2: invalid JSON: found a comma before }")]
    [InlineData("<html>", "ds.json, line 1: is a web page")]
    [InlineData("[]", "ds.json, line 1: the file is a list; expected an object with keys such as zero_optimization")]
    [InlineData("{\"stage\": 1,\n\"stage\": 2}", "ds.json, line 2: duplicate key 'stage'; first on line 1")]
    public void A_file_that_is_no_configuration_is_explained(string json, string problem) =>
        Assert.StartsWith(problem, Problems(json, Recipe())[0], StringComparison.Ordinal);

    [Fact]
    public void Comments_trailing_commas_and_a_byte_order_mark_are_allowed() =>
        Assert.Equal(
            2,
            Resolve("\uFEFF{\t// two\n\t\"zero_optimization\": {\"stage\": 2,},\n}", Recipe()).Sharding.Stage
        );

    [Fact]
    public void A_recipe_may_hold_the_configuration_itself()
    {
        var recipe = Recipe(
            "deepspeed:\n  zero_optimization: {stage: 2, reduce_bucket_size: auto}\n  gradient_clipping: auto"
        );
        var plan = recipe.Plan(64, 2);
        Assert.Equal((2, 4096L), (plan.Sharding.Stage, plan.Sharding.ReduceBucketElements));
        Assert.Equal(
            "training_args.deepspeed.zero_optimization.stage",
            plan.Settings.Single(setting => setting.Key.EndsWith("stage", StringComparison.Ordinal)).Key
        );
        Assert.Equal(
            [
                "r.yaml, line 5: unknown key 'training_args.deepspeed.zero_optimisation'; did you mean "
                    + "'zero_optimization'?",
            ],
            RecipeText.Problems(RecipeText.WithArguments("deepspeed:\n  zero_optimisation: {stage: 2}"))
        );
    }

    [Fact]
    public void A_file_is_found_beside_the_recipe_and_above_it_and_its_problems_are_reported_with_the_recipes()
    {
        var folder = Directory.CreateTempSubdirectory();
        try
        {
            Directory.CreateDirectory(Path.Combine(folder.FullName, "configs"));
            File.WriteAllText(
                Path.Combine(folder.FullName, "configs", "ds.json"),
                "{\"train_batch_size\": 7,\n \"gradient_clipping\": 2}"
            );
            var path = Path.Combine(folder.FullName, "configs", "r.yaml");
            foreach (var name in new[] { "ds.json", "configs/ds.json" })
            {
                File.WriteAllText(
                    path,
                    RecipeText.WithArguments($"deepspeed: {name}\nper_device_train_batch_size: 2\nmax_steps: x")
                );
                var error = Assert.Throws<InvalidDataException>(() => RecipeFile.Read(path));
                Assert.Equal(
                    [
                        "r.yaml, line 6: 'training_args.max_steps' is 'x'; expected a whole number of at least -1",
                        "ds.json, line 1: 'train_batch_size' is 7, which is not divisible by 2 rows per rank "
                            + "(per_device_train_batch_size × gradient_accumulation_steps); write \"auto\"",
                        "ds.json, line 2: 'gradient_clipping' is 2, but 'training_args.max_grad_norm' is 1, its "
                            + "default; make them equal or write \"auto\"",
                    ],
                    error.Message.Split('\n')
                );
            }
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }
}
