using GlmTune.Constraints;
using GlmTune.Data.Conversations;
using GlmTune.Data.Templates;
using GlmTune.Inference;
using GlmTune.Model.Adapters;
using GlmTune.Training;
using GlmTune.Training.Optimization;

namespace GlmTune.Recipes.Tests.Configuration;

public class RecipeValueTests
{
    [Fact]
    public void A_recipe_that_only_names_its_rows_has_every_default()
    {
        var recipe = RecipeText.Read("data_config: {train_file: a.jsonl}");
        Assert.Equal(new TrainingOptions(), recipe.Training);
        Assert.Equal(new OptimizerOptions(), recipe.Optimizer);
        Assert.Equal(new ScheduleOptions(), recipe.Schedule);
        Assert.Equal(new GenerationOptions(), recipe.Generation);
        Assert.Equal(new TemplateOptions(), recipe.Data.Template);
        Assert.Equal(new ExampleOptions(), recipe.Data.TrainRows);
        Assert.Null(recipe.Data.ValidationFile);
        Assert.Empty(recipe.Notes);
    }

    [Theory]
    [InlineData("5e-4", 5e-4)]
    [InlineData("1E-3", 1e-3)]
    [InlineData("1e-03", 1e-3)]
    [InlineData(".5", 0.5)]
    [InlineData("3.", 3.0)]
    [InlineData("+2", 2.0)]
    [InlineData("1_000", 1000.0)]
    [InlineData("'5e-4'", 5e-4)]
    [InlineData("\"5e-5\"", 5e-5)]
    [InlineData("!!float 1e-2", 1e-2)]
    [InlineData("0", 0.0)]
    public void Numbers_are_read_however_they_are_written(string written, double expected) =>
        Assert.Equal(
            expected,
            RecipeText.Read(RecipeText.WithArguments($"learning_rate: {written}")).Optimizer.LearningRate
        );

    [Theory]
    [InlineData("1e3", 1000)]
    [InlineData("3000.0", 3000)]
    [InlineData("3_000", 3000)]
    [InlineData("'20'", 20)]
    [InlineData("-1", null)]
    [InlineData("null", null)]
    [InlineData("~", null)]
    [InlineData("", null)]
    public void Whole_numbers_are_read_however_they_are_written(string written, int? expected) =>
        Assert.Equal(expected, RecipeText.Read(RecipeText.WithArguments($"max_steps: {written}")).Training.MaxSteps);

    [Theory]
    [InlineData("true", true)]
    [InlineData("True", true)]
    [InlineData("YES", true)]
    [InlineData("on", true)]
    [InlineData("false", false)]
    [InlineData("No", false)]
    [InlineData("OFF", false)]
    public void Truth_values_are_read_as_both_versions_of_YAML_write_them(string written, bool expected) =>
        Assert.Equal(
            expected,
            RecipeText.Read(RecipeText.WithArguments($"save_only_model: {written}")).Training.SaveOnlyModel
        );

    [Theory]
    [InlineData("no", IntervalStrategy.No)]
    [InlineData("'no'", IntervalStrategy.No)]
    [InlineData("false", IntervalStrategy.No)]
    [InlineData("steps", IntervalStrategy.Steps)]
    [InlineData("EPOCH", IntervalStrategy.Epoch)]
    public void Strategies_are_words_of_any_case(string written, IntervalStrategy expected) =>
        Assert.Equal(
            expected,
            RecipeText.Read(RecipeText.WithArguments($"save_strategy: {written}")).Training.SaveStrategy
        );

    [Theory]
    [InlineData("bf16: true", Precision.BFloat16)]
    [InlineData("bf16: false", Precision.Auto)]
    [InlineData("fp16: false", Precision.Auto)]
    [InlineData("dtype: float32", Precision.Float32)]
    [InlineData("dtype: bf16", Precision.BFloat16)]
    [InlineData("bf16: true\ndtype: bfloat16", Precision.BFloat16)]
    public void Precision_is_what_bf16_or_dtype_says(string lines, Precision expected) =>
        Assert.Equal(expected, RecipeText.Read(RecipeText.WithArguments(lines)).Training.Precision);

    [Theory]
    [InlineData("true", RecomputeMode.All)]
    [InlineData("no", RecomputeMode.None)]
    [InlineData("auto", RecomputeMode.Auto)]
    [InlineData("cheap", RecomputeMode.Selective)]
    public void Gradient_checkpointing_is_a_truth_value_or_auto(string written, RecomputeMode expected) =>
        Assert.Equal(
            expected,
            RecipeText.Read(RecipeText.WithArguments($"gradient_checkpointing: {written}")).Training.Recompute
        );

    [Theory]
    [InlineData("warmup_steps: 100", 100, 0.0)]
    [InlineData("warmup_ratio: 0.03", 0, 0.03)]
    [InlineData("warmup_steps: 0.1", 0, 0.1)]
    [InlineData("warmup_steps: 7\nwarmup_ratio: 0.5", 7, 0.5)]
    public void Warm_up_is_steps_or_a_share(string lines, int steps, double ratio)
    {
        var schedule = RecipeText.Read(RecipeText.WithArguments(lines)).Schedule;
        Assert.Equal((steps, ratio), (schedule.WarmupSteps, schedule.WarmupRatio));
    }

    [Theory]
    [InlineData(0, 0.03, 100, 3)]
    [InlineData(0, 0.031, 100, 4)]
    [InlineData(7, 0.5, 100, 7)]
    [InlineData(0, 0.0, 100, 0)]
    public void A_share_of_warm_up_is_rounded_up(int steps, double ratio, int total, int expected) =>
        Assert.Equal(expected, new ScheduleOptions { WarmupSteps = steps, WarmupRatio = ratio }.WarmupOf(total));

    [Theory]
    [InlineData("500", 3000, 500)]
    [InlineData("0.1", 3000, 300)]
    [InlineData("0.001", 30, 1)]
    public void An_interval_is_steps_or_a_share_of_the_run(string written, int total, int expected) =>
        Assert.Equal(
            expected,
            RecipeText.Read(RecipeText.WithArguments($"save_steps: {written}")).Training.SaveSteps.Of(total)
        );

    [Fact]
    public void Schedules_take_their_details_from_lr_scheduler_kwargs()
    {
        var schedule = RecipeText
            .Read(
                RecipeText.WithArguments("lr_scheduler_type: polynomial\nlr_scheduler_kwargs: {power: 2, lr_end: 1e-6}")
            )
            .Schedule;
        Assert.Equal(
            new ScheduleOptions
            {
                Kind = ScheduleKind.Polynomial,
                Power = 2,
                EndLearningRate = 1e-6,
            },
            schedule
        );
        Assert.Equal(
            3,
            RecipeText
                .Read(
                    RecipeText.WithArguments(
                        "lr_scheduler_type: cosine_with_restarts\nlr_scheduler_kwargs: {num_cycles: 3}"
                    )
                )
                .Schedule.Cycles
        );
    }

    [Fact]
    public void Every_training_argument_reaches_its_option()
    {
        var recipe = RecipeText.Read(
            RecipeText
                .WithArguments(
                    """
                    output_dir: out
                    per_device_train_batch_size: 2
                    per_device_eval_batch_size: 3
                    gradient_accumulation_steps: 4
                    num_train_epochs: 1.5
                    seed: 7
                    data_seed: 8
                    packing: true
                    pack_length: 2048
                    use_cpu: true
                    logging_strategy: epoch
                    logging_steps: 5
                    logging_first_step: true
                    eval_strategy: steps
                    eval_steps: 50
                    eval_delay: 10
                    eval_on_start: true
                    predict_with_generate: true
                    save_strategy: steps
                    save_steps: 100
                    save_total_limit: 3
                    save_only_model: true
                    load_best_model_at_end: true
                    metric_for_best_model: eval_rouge-l
                    greater_is_better: true
                    early_stopping_patience: 2
                    early_stopping_threshold: 0.01
                    ddp_timeout: 60
                    learning_rate: 1e-4
                    adam_beta1: 0.8
                    adam_beta2: 0.95
                    adam_epsilon: 1e-6
                    weight_decay: 0.1
                    max_grad_norm: 0.5
                    resume_from_checkpoint: yes
                    """
                )
                .Replace("train.jsonl", "train.jsonl\n  val_file: dev.jsonl", StringComparison.Ordinal)
        );
        Assert.Equal(
            new TrainingOptions
            {
                OutputFolder = "out",
                MicroBatchSize = 2,
                EvaluationBatchSize = 3,
                AccumulationSteps = 4,
                Epochs = 1.5,
                Seed = 7,
                DataSeed = 8,
                Packing = true,
                PackLength = 2048,
                UseCpu = true,
                LoggingStrategy = IntervalStrategy.Epoch,
                LoggingSteps = 5,
                LoggingFirstStep = true,
                EvaluationStrategy = IntervalStrategy.Steps,
                EvaluationSteps = 50,
                EvaluationDelay = 10,
                EvaluationOnStart = true,
                PredictWithGenerate = true,
                SaveSteps = 100,
                SaveTotalLimit = 3,
                SaveOnlyModel = true,
                LoadBestModelAtEnd = true,
                MetricForBestModel = "rouge-l",
                GreaterIsBetter = true,
                EarlyStoppingPatience = 2,
                EarlyStoppingThreshold = 0.01,
                CollectiveTimeout = TimeSpan.FromMinutes(1),
            },
            recipe.Training
        );
        Assert.Equal(
            new OptimizerOptions
            {
                LearningRate = 1e-4,
                Beta1 = 0.8,
                Beta2 = 0.95,
                Epsilon = 1e-6,
                WeightDecay = 0.1,
                MaxGradientNorm = 0.5,
            },
            recipe.Optimizer
        );
        Assert.Equal("yes", recipe.ResumeFrom);
        Assert.Equal(
            (8L, 2, 4, 2048),
            (
                recipe.Batches.Seed,
                recipe.Batches.RowsPerMicroBatch,
                recipe.Batches.AccumulationSteps,
                recipe.Batches.PackedTokens
            )
        );
    }

    [Theory]
    [
        InlineData("seed: 1", null),
        InlineData("packing: auto", null),
        InlineData("packing: false", false),
        InlineData("packing: true", true),
        InlineData("pack_length: 4096", true)
    ]
    public void Packing_is_left_to_the_device_unless_something_is_said(string line, bool? expected) =>
        Assert.Equal(expected, RecipeText.Read(RecipeText.WithArguments(line)).Training.Packing);

    [Fact]
    public void A_packed_sequence_is_as_long_as_a_micro_batch_of_longest_rows()
    {
        var recipe = RecipeText.Read(
            RecipeText.WithArguments(
                "packing: true\nper_device_train_batch_size: 2",
                "max_input_length: 100\nmax_output_length: 27\n"
            )
        );
        Assert.Equal(2 * 128, recipe.Batches.PackedTokens);
        Assert.Null(RecipeText.Read("data_config: {train_file: a.jsonl}").Batches.PackedTokens);
    }

    [Theory]
    [InlineData("", true)]
    [InlineData(", supervise_reasoning: false", false)]
    public void Thoughts_are_supervised_unless_the_recipe_says_otherwise(string written, bool expected) =>
        Assert.Equal(
            expected,
            RecipeText.Read($"data_config: {{train_file: a.jsonl{written}}}").Data.Template.SupervisesThoughts
        );

    [Theory]
    [InlineData("<|user|>", "<|user|>")]
    [InlineData("151336", "<|user|>")]
    [InlineData("<|endoftext|>", "<|endoftext|>")]
    [InlineData("endoftext", "<|endoftext|>")]
    public void The_end_token_is_named_or_numbered(string written, string expected) =>
        Assert.Equal(
            expected,
            RecipeText.Read($"data_config: {{train_file: a.jsonl, end_token: {written}}}").Data.Template.EndToken
        );

    [Theory]
    [InlineData("as_written", ToolCallStyle.AsWritten)]
    [InlineData("native", ToolCallStyle.Native)]
    [InlineData("json", ToolCallStyle.Json)]
    public void Tool_calls_can_be_written_in_either_style(string written, ToolCallStyle expected) =>
        Assert.Equal(
            expected,
            RecipeText.Read($"data_config: {{train_file: a.jsonl, tool_calls: {written}}}").Data.Template.ToolCalls
        );

    [Fact]
    public void Every_template_preset_can_be_chosen()
    {
        foreach (var preset in TemplatePreset.Choices)
        {
            Assert.Same(
                preset,
                RecipeText.Read($"data_config: {{train_file: a.jsonl, template: {preset.Name}}}").Data.Template.Preset
            );
        }
    }

    [Fact]
    public void Rows_can_be_limited_and_bad_ones_skipped()
    {
        var data = RecipeText
            .Read(
                "data_config: {train_file: a.jsonl, num_proc: 4, bad_rows: skip, max_train_samples: 10, "
                    + "max_eval_samples: 5}"
            )
            .Data;
        Assert.Equal(
            new ExampleOptions
            {
                Parallelism = 4,
                BadRows = BadRows.Skip,
                MaxRows = 10,
            },
            data.TrainRows
        );
        Assert.Equal(5, data.ValidationRows.MaxRows);
        Assert.Null(data.TestRows.MaxRows);
    }

    [Fact]
    public void Every_lora_key_reaches_its_option()
    {
        var lora = RecipeText
            .Read(
                RecipeText.WithAdapter(
                    """
                    peft_type: lora
                    r: 4
                    lora_alpha: 16
                    lora_dropout: 0.05
                    target_modules: [q_proj, v_proj]
                    rank_pattern: {"layers.0.*q_proj": 8, v_proj: 2}
                    alpha_pattern: {v_proj: 0.5}
                    use_rslora: true
                    use_dora: yes
                    modules_to_save: [output_layer]
                    init_lora_weights: gaussian
                    bias: none
                    """
                )
            )
            .Lora!;
        Assert.Equal((4, 16.0, 0.05), (lora.Rank, lora.Alpha, lora.Dropout));
        Assert.Equal(["q_proj", "v_proj"], lora.TargetModules!.Names);
        Assert.Equal([new("layers.0.*q_proj", 8), new("v_proj", 2)], lora.RankPattern);
        Assert.Equal([new("v_proj", 0.5)], lora.AlphaPattern);
        Assert.True(lora is { UseRsLora: true, UseDora: true, InitWeights: LoraInitialization.Gaussian });
        Assert.Equal(["output_layer"], lora.ModulesToSave);
    }

    [Fact]
    public void Target_modules_are_names_an_expression_or_all_linear_layers()
    {
        static LoraTargets Targets(string written) =>
            RecipeText.Read(RecipeText.WithAdapter($"peft_type: LORA\ntarget_modules: {written}")).Lora!.TargetModules!;
        Assert.True(Targets("all-linear").IsAllLinear);
        Assert.Equal(@".*\.(q|v)_proj", Targets(@".*\.(q|v)_proj").Pattern);
        Assert.Equal("a, b", Targets("[a, b]").ToString());
    }

    [Fact]
    public void Every_prefix_key_reaches_its_option() =>
        Assert.Equal(
            new PrefixTuningOptions
            {
                VirtualTokens = 16,
                AttentionHeads = 4,
                TokenDim = 512,
                Layers = 40,
                Projection = true,
                EncoderHiddenSize = 64,
                Initialization = PrefixInitialization.Normal,
                Positions = PrefixPositions.Library,
            },
            RecipeText
                .Read(
                    RecipeText.WithAdapter(
                        """
                        peft_type: PREFIX_TUNING
                        num_virtual_tokens: 16
                        num_attention_heads: 4
                        token_dim: 512
                        num_layers: 40
                        prefix_projection: true
                        encoder_hidden_size: 64
                        init_weights: normal
                        positions: library
                        num_transformer_submodules: 1
                        """
                    )
                )
                .Prefix
        );

    [Fact]
    public void Generation_options_are_read_and_lie_over_the_models()
    {
        var generation = RecipeText
            .Read(
                RecipeText.WithArguments(
                    "generation_config: {max_new_tokens: 64, do_sample: true, top_p: 0.9, temperature: 0.7, top_k: 5, "
                        + "repetition_penalty: 1.1, min_new_tokens: 2, eos_token_id: 3, seed: 9}"
                )
            )
            .Generation;
        Assert.Equal([3], generation.EosTokenIds);
        Assert.Equal(
            (64, true, 0.9, 0.7, 5, 1.1, 2, 9L),
            (
                generation.MaxNewTokens,
                generation.DoSample,
                generation.TopP,
                generation.Temperature,
                generation.TopK,
                generation.RepetitionPenalty,
                generation.MinNewTokens,
                generation.Seed
            )
        );
        var whole = generation
            .Over(
                new GenerationOptions
                {
                    PadTokenId = 1,
                    TopK = 50,
                    EosTokenIds = [8],
                }
            )
            .Over(GenerationOptions.Defaults);
        Assert.Equal((1, 5, 1), (whole.PadTokenId, whole.TopK, whole.NumBeams));
        Assert.Equal([3], whole.EosTokenIds);
    }

    [Fact]
    public void Anchors_and_merged_mappings_are_followed()
    {
        var data = RecipeText
            .Read(
                "data_config:\n  <<: {train_file: a.jsonl, val_file: no.jsonl}\n  val_file: &dev b.jsonl\n  test_file: "
                    + "*dev\n"
            )
            .Data;
        Assert.Equal(("a.jsonl", "b.jsonl", "b.jsonl"), (data.TrainFile, data.ValidationFile, data.TestFile));
    }

    [Fact]
    public void Values_that_leave_results_as_they_are_pass_where_others_would_not()
    {
        var recipe = RecipeText.Read(
            RecipeText.WithArguments(
                "label_smoothing_factor: 0.0\nneftune_noise_alpha: null\nfsdp: ''\ngroup_by_length: false\nadafactor: "
                    + "no\ntrain_sampling_strategy: random"
            )
        );
        Assert.Empty(recipe.Notes);
    }

    [Theory]
    [InlineData("swanlab: local")]
    [InlineData("use_swanlab: true")]
    [InlineData("wandb_project: mine")]
    [InlineData("mlflow_tracking_uri: http://here")]
    public void The_settings_of_experiment_trackers_are_noted_wherever_they_stand(string line)
    {
        var inside = Assert.Single(RecipeText.Read(RecipeText.WithArguments(line)).Notes);
        Assert.Contains(" is not supported; a run writes its own log", inside, StringComparison.Ordinal);
        var above = Assert.Single(RecipeText.Read($"data_config:\n  train_file: train.jsonl\n{line}\n").Notes);
        Assert.StartsWith("r.yaml, line 3: ", above, StringComparison.Ordinal);
    }

    [Fact]
    public void A_name_that_begins_with_an_underscore_is_a_comment() =>
        Assert.Equal(
            "r.yaml, line 4: 'training_args._max_steps' has no effect here: a name that begins with _ is a comment",
            Assert.Single(RecipeText.Read(RecipeText.WithArguments("_max_steps: 4")).Notes)
        );

    [Theory]
    [InlineData("target_modules: query_key_value", "query_key_value")]
    [InlineData("target_modules: mlp.dense_h_to_4h", "mlp.dense_h_to_4h")]
    [InlineData("target_modules: [query_key_value]", "query_key_value")]
    public void A_single_module_is_a_list_of_one(string line, string name) =>
        Assert.Equal(
            [name],
            RecipeText.Read(RecipeText.WithAdapter($"peft_type: LORA\n{line}")).Lora!.TargetModules!.Names
        );

    [Fact]
    public void A_single_word_is_a_list_of_one_and_an_expression_is_not()
    {
        var lora = RecipeText
            .Read(RecipeText.WithAdapter("peft_type: LORA\nmodules_to_save: output_layer\ntarget_modules: .*dense.*"))
            .Lora!;
        Assert.Equal(["output_layer"], lora.ModulesToSave);
        Assert.Equal(".*dense.*", lora.TargetModules!.Pattern);
        Assert.Null(
            RecipeText
                .Read(RecipeText.WithAdapter("peft_type: LORA\ntarget_modules: all-linear"))
                .Lora!.TargetModules!.Names
        );
    }

    [Fact]
    public void Float16_on_request_only_says_what_is_used()
    {
        var recipe = RecipeText.Read(RecipeText.WithArguments("fp16: auto"));
        Assert.Equal(Precision.Auto, recipe.Training.Precision);
        Assert.Contains(
            "bfloat16 on a GPU and in float32 on a CPU",
            Assert.Single(recipe.Notes),
            StringComparison.Ordinal
        );
    }

    [Theory]
    [InlineData("dataloader_drop_last: true", true)]
    [InlineData("dataloader_drop_last: true\npacking: true", false)]
    [InlineData("packing: false", false)]
    public void The_last_partial_micro_batch_is_dropped_on_request_where_rows_are_not_packed(
        string lines,
        bool drops
    ) => Assert.Equal(drops, RecipeText.Read(RecipeText.WithArguments(lines)).Batches.DropLast);

    [Fact]
    public void A_tilde_is_the_home_folder_in_every_path()
    {
        var home = GlmTune.Files.HomePath.Home!;
        var recipe = RecipeText.Read(
            "data_config: {train_file: ~/t.jsonl, val_file: ~/v.jsonl}\ntraining_args:\n  logging_dir: ~/logs\n"
                + "  resume_from_checkpoint: ~/run/checkpoint-3\n",
            "training_args.output_dir=~/run"
        );
        Assert.Equal(
            (Path.Combine(home, "run"), Path.Combine(home, "logs"), Path.Combine(home, "run", "checkpoint-3")),
            (recipe.Training.OutputFolder, recipe.Training.TensorBoardFolder, recipe.ResumeFrom)
        );
        Assert.Equal(
            (Path.Combine(home, "t.jsonl"), Path.Combine(home, "v.jsonl")),
            (recipe.Data.TrainFile, recipe.Data.ValidationFile)
        );
    }
}
