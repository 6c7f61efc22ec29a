using System.Text.Json.Nodes;
using GlmTune.Checkpoints;
using GlmTune.Collectives;
using GlmTune.Data.Batching;
using GlmTune.Files;
using GlmTune.Kernels;
using GlmTune.Model;
using GlmTune.Recipes.Chat;
using GlmTune.Recipes.Models;
using GlmTune.Training;
using GlmTune.Training.Checkpoints;
using GlmTune.Weights;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Recipes.Tests;

/// <summary>Whole runs over ranks that are threads.</summary>
public sealed class RankedFineTuneTests : IDisposable
{
    private const string Lora = "peft_config={ peft_type: LORA, r: 4, lora_alpha: 16 }";
    private readonly TinyRun tiny = new();

    public void Dispose() => tiny.Dispose();

    [Theory]
    [
        InlineData(2, null, true),
        InlineData(2, 2, false),
        InlineData(2, 0, false),
        InlineData(2, 1, true),
        InlineData(2, 3, true),
        InlineData(2, 3, false),
        InlineData(2, 2, true, "quantization=nf4"),
        InlineData(2, 1, true, "quantization=int8")
    ]
    public void Ranks_give_the_losses_of_one_rank_that_accumulates_as_many_micro_batches(
        int ranks,
        int? stage,
        bool lora,
        string? quantized = null
    )
    {
        string[] adapter = [.. lora ? [Lora] : (string[])[], .. quantized is null ? [] : (string[])[quantized]];
        var one = tiny.Train(
            tiny.Recipe("one", stage: null, [$"training_args.gradient_accumulation_steps={ranks}", .. adapter])
        );
        var many = tiny.Train(tiny.Recipe("many", stage, adapter), ranks);
        Assert.Equal(4, many.Losses.Count);
        Assert.All(one.Losses.Zip(many.Losses), pair => Assert.Equal(pair.First, pair.Second, 2e-5));
        Assert.Equal(one.Last!.Tokens, many.Last!.Tokens);
        Assert.Equal((0, ranks), (Assert.Single(many.Speakers).Key, many.Start!.WorldSize));
        Assert.Equal(ranks, many.Results.Count);
        Assert.Single(many.Results.Values.Select(result => result.Loss).Distinct());
        var file = lora ? "adapter_model.safetensors" : "model.safetensors";
        Assert.All(
            Differences(tiny.Checkpoint("one", 4, file), tiny.Checkpoint("many", 4, file)),
            difference => Assert.InRange(difference.Value, 0, 2e-3)
        );
    }

    [Fact]
    public void Quantized_weights_are_not_sharded()
    {
        var error = Assert.Throws<InvalidDataException>(() =>
            tiny.Train(tiny.Recipe("sharded", stage: 3, [Lora, "quantization=nf4"]))
        );
        Assert.Contains("quantization: ZeRO stage 3 shards the weights", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("2222", false), InlineData("0123", true), InlineData("3301", false)]
    public void A_checkpoint_goes_on_on_any_number_of_ranks_at_any_stage_as_if_never_stopped(string stages, bool lora)
    {
        // Four micro-batches a step, however many ranks share them.
        string[] Settings(int ranks, int steps) =>
            [
                $"training_args.gradient_accumulation_steps={4 / ranks}",
                $"training_args.max_steps={steps}",
                "training_args.lr_scheduler_type=constant",
                .. lora ? [Lora] : (string[])[],
            ];
        var whole = tiny.Train(tiny.Recipe("whole", stage: null, Settings(1, 6))).Losses;
        var parts = new List<double>();
        string? resume = null;
        (int Ranks, int Steps)[] legs = [(1, 2), (2, 3), (4, 5), (1, 6)];
        foreach (var ((ranks, steps), stage) in legs.Zip(stages.Select(digit => digit - '0')))
        {
            var run = tiny.Train(tiny.Recipe("parts", stage, Settings(ranks, steps)), ranks, resume);
            Assert.Equal(resume is null, run.Start!.DoneSteps == 0);
            Assert.Equal(
                resume is not null,
                run.Notes.Exists(note => note.Contains("was written by", StringComparison.Ordinal))
            );
            parts.AddRange(run.Losses);
            var folder = tiny.Checkpoint("parts", steps);
            FolderManifest.Verify(folder);
            Assert.Equal(stage == 0 ? 1 : ranks, Directory.GetFiles(folder, "optimizer-*.safetensors").Length);
            Assert.Equal(ranks, TrainingState.Read(folder)!.WorldSize);
            resume = "yes";
        }

        Assert.Equal(6, parts.Count);
        Assert.All(whole.Zip(parts), pair => Assert.Equal(pair.First, pair.Second, 2e-5));
    }

    [Theory]
    [InlineData(false), InlineData(true)]
    public void On_as_many_ranks_a_resumed_run_has_the_same_bits(bool packing)
    {
        string[] Settings(int steps) =>
            [
                $"training_args.packing={packing}",
                .. packing ? (string[])["training_args.pack_length=128"] : [],
                $"training_args.max_steps={steps}",
                "training_args.lr_scheduler_type=constant",
            ];
        var whole = tiny.Train(tiny.Recipe("whole", stage: 2, Settings(4)), ranks: 2);
        tiny.Train(tiny.Recipe("parts", stage: 2, Settings(2)), ranks: 2);
        var parts = tiny.Train(tiny.Recipe("parts", stage: 2, Settings(4)), ranks: 2, resume: "yes");
        Assert.Equal(whole.Losses[2..], parts.Losses);
        foreach (
            var file in (string[])
                [
                    "model.safetensors",
                    "optimizer-00000-of-00002.safetensors",
                    "optimizer-00001-of-00002.safetensors",
                    "trainer_state.json",
                    "training_state.json",
                ]
        )
        {
            Assert.Equal(
                File.ReadAllBytes(tiny.Checkpoint("whole", 4, file)),
                File.ReadAllBytes(tiny.Checkpoint("parts", 4, file))
            );
        }
    }

    [Fact]
    public void An_epoch_begun_on_one_number_of_ranks_and_ended_on_another_has_every_row_once()
    {
        string[] settings =
        [
            "data_config.max_train_samples=22",
            "training_args.max_steps=null",
            "training_args.num_train_epochs=1",
            Lora,
        ];
        using var stop = new CancellationTokenSource();
        var first = tiny.Train(
            tiny.Recipe("run", stage: null, settings),
            ranks: 1,
            stepped: (_, report) => CancelAt(3, report, stop),
            stop: _ => stop.Token
        );
        Assert.True(first.Results[0].Stopped);
        Assert.Equal(11, first.Start!.TotalSteps);
        var second = tiny.Train(tiny.Recipe("run", stage: null, settings), ranks: 2, resume: "yes");
        // 6 rows are done; 16 are left, 4 a step.
        Assert.Equal((7, 3 + 4), (second.Results[0].Steps, second.Start!.TotalSteps));
        Assert.Equal(new DataCursor(1, 0), TrainingState.Read(tiny.Checkpoint("run", 7))!.Data);
        Assert.Contains(
            second.Notes,
            note => note.Contains("was planned for 11 steps, and this run for 7", StringComparison.Ordinal)
        );
    }

    [Theory]
    [InlineData(0), InlineData(1)]
    public void A_stop_on_one_rank_stops_all_after_the_same_step_with_a_checkpoint(int asked)
    {
        using var stop = new CancellationTokenSource();
        var run = tiny.Train(
            tiny.Recipe("run", stage: 2, "training_args.max_steps=1000"),
            ranks: 2,
            stepped: (_, report) => CancelAt(2, report, stop),
            stop: rank => rank == asked ? stop.Token : default
        );
        Assert.All(run.Results.Values, result => Assert.True(result.Stopped));
        var steps = Assert.Single(run.Results.Values.Select(result => result.Steps).Distinct());
        Assert.True(OptimizerFile.IsIn(tiny.Checkpoint("run", (int)steps)));
    }

    [Theory]
    [InlineData(true), InlineData(false)]
    public void Weights_that_are_not_gathered_are_in_the_ranks_files_from_which_training_goes_on_and_a_model_is_made(
        bool offload
    )
    {
        string[] settings =
        [
            $"training_args.deepspeed={{ zero_optimization: {{ stage: 3, stage3_param_persistence_threshold: 0, "
                + $"offload_optimizer: {{ device: {(offload ? "cpu" : "none")} }} }} }}",
            "training_args.lr_scheduler_type=constant",
        ];
        var whole = tiny.Train(tiny.Recipe("whole", 3, "training_args.lr_scheduler_type=constant"), ranks: 2);
        var apart = tiny.Train(tiny.Recipe("apart", null, [.. settings, "training_args.max_steps=3"]), ranks: 2);
        Assert.Contains(apart.Notes, note => note.Contains("glmtune checkpoint consolidate", StringComparison.Ordinal));
        Assert.False(WeightFiles.AreIn(tiny.Checkpoint("apart", 3)));
        var rest = tiny.Train(tiny.Recipe("apart", null, settings), ranks: 2, resume: "yes");
        Assert.All(
            whole.Losses.Zip(apart.Losses.Concat(rest.Losses)),
            pair => Assert.Equal(pair.First, pair.Second, 2e-5)
        );

        Assert.Equal(
            (CheckpointLayout.Original, ScalarType.Float32),
            ConsolidateCheckpoint.Run(tiny.Checkpoint("apart", 4), tiny.At("model-4"), null, null)
        );
        FolderManifest.Verify(tiny.At("model-4"));
        Assert.All(
            Differences(tiny.Checkpoint("whole", 4, "model.safetensors"), tiny.At("model-4", "model.safetensors")),
            difference => Assert.InRange(difference.Value, 0, 2e-3)
        );
        Assert.True(File.Exists(tiny.At("model-4", "tokenizer.model")));
        ConsolidateCheckpoint.Run(
            tiny.Checkpoint("whole", 4),
            tiny.At("library"),
            CheckpointLayout.Library,
            ScalarType.BFloat16
        );
        using var model = ModelFolder.Load(tiny.At("library"), ScalarType.BFloat16, CPU);
        Assert.Equal(2, model.Config.LayerCount);
    }

    [Fact]
    public void An_adapters_checkpoint_and_one_without_optimizer_files_are_not_consolidated()
    {
        tiny.Train(tiny.Recipe("lora", null, Lora, "training_args.max_steps=1"));
        Assert.Contains(
            "glmtune merge",
            Assert
                .Throws<InvalidDataException>(() =>
                    ConsolidateCheckpoint.Run(tiny.Checkpoint("lora", 1), tiny.At("out"), null, null)
                )
                .Message,
            StringComparison.Ordinal
        );
        Assert.Contains(
            "no optimizer files",
            Assert
                .Throws<InvalidDataException>(() => ConsolidateCheckpoint.Run(tiny.Model, tiny.At("out"), null, null))
                .Message,
            StringComparison.Ordinal
        );
        Assert.Contains(
            "already exists",
            Assert
                .Throws<InvalidDataException>(() => ConsolidateCheckpoint.Run(tiny.Model, tiny.At("lora"), null, null))
                .Message,
            StringComparison.Ordinal
        );
    }

    [Fact]
    public void A_step_that_is_not_finite_ends_all_ranks_with_one_message_that_names_the_rows_of_each()
    {
        using (var model = ModelFolder.Load(tiny.Model, ScalarType.Float32, CPU))
        {
            model.Head.Norm.Value.FillInPlace(float.MaxValue);
            ModelFolder.Save(model, tiny.Model, CheckpointLayout.Original, ScalarType.Float32);
        }

        var error = Assert.Throws<SharedFailureException>(() => tiny.Train(tiny.Recipe("run", stage: 2), ranks: 2));
        Assert.StartsWith("Step 1: the loss is NaN", error.Message, StringComparison.Ordinal);
        Assert.Contains(" pass on rank 0, with lines ", error.Message, StringComparison.Ordinal);
        Assert.Contains(" pass on rank 1, with lines ", error.Message, StringComparison.Ordinal);
        Assert.False(Directory.Exists(tiny.Checkpoint("run", 1)));
    }

    [Fact]
    public void What_is_wrong_with_the_files_is_said_once_for_all_ranks_before_anything_is_trained()
    {
        var recipe = tiny.Recipe("run", stage: null, "data_config.train_file=nothing.jsonl");
        var error = Assert.Throws<SharedFailureException>(() => tiny.Train(recipe, ranks: 3));
        Assert.Contains("nothing.jsonl", error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("Rank", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_batch_size_that_these_ranks_do_not_have_is_refused_before_anything_is_loaded()
    {
        var recipe = tiny.Recipe(
            "run",
            stage: 2,
            "training_args.deepspeed={ zero_optimization: { stage: 2 }, train_batch_size: 2 }"
        );
        File.Delete(Path.Combine(tiny.Model, "model.safetensors"));
        var error = Assert.Throws<SharedFailureException>(() => tiny.Train(recipe, ranks: 2));
        Assert.Contains("train_batch_size' is 2, but 2 ranks", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_rank_that_dies_ends_the_others_and_the_last_checkpoint_stays_whole()
    {
        string[] settings =
        [
            "training_args.save_steps=2",
            "training_args.max_steps=6",
            "training_args.save_async=false",
        ];
        var error = Assert.Throws<InvalidOperationException>(() =>
            tiny.Train(
                tiny.Recipe("run", stage: 2, settings),
                ranks: 2,
                stepped: (_, report) =>
                {
                    if (report.Step == 3)
                    {
                        throw new InvalidOperationException("the power went out");
                    }
                }
            )
        );
        Assert.Equal("the power went out", error.Message);
        Assert.Equal([2], CheckpointFolder.Steps(tiny.At("run")));
        FolderManifest.Verify(tiny.Checkpoint("run", 2));
        Assert.Equal(4, tiny.Train(tiny.Recipe("run", stage: 2, settings), ranks: 3, resume: "yes").Losses.Count);
    }

    [Theory]
    [InlineData(null), InlineData(3)]
    public void Evaluation_takes_each_row_once_whatever_the_number_of_ranks(int? stage)
    {
        string[] settings =
        [
            "data_config.val_file=dev.jsonl",
            "data_config.max_eval_samples=7",
            "data_config.test_file=test.jsonl",
            "data_config.max_predict_samples=5",
            "training_args.eval_strategy=steps",
            "training_args.eval_steps=2",
            "training_args.predict_with_generate=true",
            "training_args.generation_config={ max_new_tokens: 3 }",
            "training_args.per_device_eval_batch_size=2",
        ];
        var one = tiny.Train(
            tiny.Recipe("one", stage: null, [.. settings, "training_args.gradient_accumulation_steps=3"])
        );
        var many = tiny.Train(tiny.Recipe("many", stage, settings), ranks: 3);
        Assert.Equal([2, 4], many.Evaluations.Select(evaluation => evaluation.Step));
        foreach (
            var (expected, found) in one
                .Evaluations.Select(evaluation => evaluation.Values)
                .Append(one.Test!)
                .Zip(many.Evaluations.Select(evaluation => evaluation.Values).Append(many.Test!))
        )
        {
            Assert.Equal(expected.Keys, found.Keys);
            Assert.Equal(expected["eval_loss"], found["eval_loss"], 1e-4);
        }

        Assert.Equal(Lines(tiny.At("one", "predictions_test.jsonl")), Lines(tiny.At("many", "predictions_test.jsonl")));
        Assert.Equal(7, Lines(tiny.At("many", "eval", "step-4.predictions.jsonl")).Count);
    }

    [Fact]
    public void A_prompt_without_room_for_an_answer_on_one_rank_ends_all_before_the_first_step()
    {
        string[] settings =
        [
            "training_args.deepspeed={ zero_optimization: { stage: 3, stage3_param_persistence_threshold: 0 } }",
            Lora,
            "data_config.val_file=dev.jsonl",
            "data_config.max_eval_samples=2",
            "training_args.eval_strategy=steps",
            "training_args.eval_steps=2",
            "training_args.predict_with_generate=true",
            "training_args.generation_config={ max_length: 18 }",
        ];
        var error = Assert.Throws<SharedFailureException>(() =>
            tiny.Train(
                tiny.Recipe("run", stage: null, settings),
                ranks: 2,
                stepped: (_, _) => Assert.Fail("a step was made")
            )
        );
        Assert.Contains("leaves no room for an answer", error.Message, StringComparison.Ordinal);
        Assert.Contains("Rank", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(1, 2, 4), InlineData(2, 2, 4), InlineData(1, 6, 6)]
    public void Where_the_best_checkpoint_was_damaged_meanwhile_the_next_best_that_is_whole_is_tested(
        int ranks,
        int damaged,
        int tested
    )
    {
        // With "greater is better" the first evaluation is the best, as the loss falls; without, the last, of which
        // nothing is read.
        var falls = damaged == 2;
        string[] settings =
        [
            Lora,
            "data_config.val_file=dev.jsonl",
            "data_config.max_eval_samples=3",
            "data_config.test_file=test.jsonl",
            "data_config.max_predict_samples=2",
            "training_args.eval_strategy=steps",
            "training_args.eval_steps=2",
            "training_args.save_steps=2",
            "training_args.max_steps=6",
            "training_args.load_best_model_at_end=true",
            $"training_args.greater_is_better={(falls ? "true" : "false")}",
        ];
        var run = tiny.Train(
            tiny.Recipe("run", ranks == 1 ? null : 2, settings),
            ranks,
            stepped: (rank, report) =>
            {
                if (rank == 0 && report.Step == 5 && falls)
                {
                    Damage(tiny.Checkpoint("run", damaged));
                }
            }
        );
        Assert.Equal(tested, (int)JsonNode.Parse(File.ReadAllText(tiny.At("run", "metrics_test.json")))!["step"]!);
        var note = (string?)JsonNode.Parse(File.ReadAllText(tiny.At("run", "metrics_test.json")))!["note"];
        Assert.Equal(falls, note is not null);
        Assert.Equal(falls ? 1 : 0, run.Notes.Count(text => text == note));
        if (falls)
        {
            Assert.Contains(
                "the best evaluation was at step 2, but its checkpoint cannot be used",
                note,
                StringComparison.Ordinal
            );
            Assert.Contains("has changed since it was written", note, StringComparison.Ordinal);
            Assert.Contains(
                "Testing the weights of step 4 instead, which have the best remaining evaluation",
                note,
                StringComparison.Ordinal
            );
        }

        Assert.NotNull(run.Test);
        FolderManifest.Verify(tiny.Checkpoint("run", 6));
    }

    [Fact]
    public void Where_only_the_best_checkpoint_was_kept_and_is_gone_the_last_weights_are_tested()
    {
        string[] settings =
        [
            Lora,
            "data_config.val_file=dev.jsonl",
            "data_config.max_eval_samples=3",
            "data_config.test_file=test.jsonl",
            "data_config.max_predict_samples=2",
            "training_args.eval_strategy=steps",
            "training_args.eval_steps=2",
            "training_args.save_steps=2",
            "training_args.save_total_limit=1",
            "training_args.save_async=false",
            "training_args.load_best_model_at_end=true",
            "training_args.greater_is_better=true",
            "training_args.max_steps=5",
        ];
        var run = tiny.Train(
            tiny.Recipe("run", null, settings),
            stepped: (_, report) =>
            {
                Assert.Equal(report.Step < 3 ? 0 : 1, CheckpointFolder.Steps(tiny.At("run")).Count(step => step == 2));
                if (report.Step == 5)
                {
                    Directory.Delete(tiny.Checkpoint("run", 2), recursive: true);
                }
            }
        );
        Assert.Single(
            run.Notes,
            note => note.EndsWith("Testing the last weights, of step 5, instead", StringComparison.Ordinal)
        );
        Assert.NotNull(run.Test);
    }

    [Fact]
    public void A_best_checkpoint_is_found_beside_the_one_a_moved_run_goes_on_from()
    {
        string[] settings =
        [
            Lora,
            "data_config.val_file=dev.jsonl",
            "data_config.max_eval_samples=3",
            "data_config.test_file=test.jsonl",
            "data_config.max_predict_samples=2",
            "training_args.eval_strategy=steps",
            "training_args.eval_steps=2",
            "training_args.save_steps=2",
            "training_args.load_best_model_at_end=true",
            "training_args.greater_is_better=true",
        ];
        tiny.Train(tiny.Recipe("run", null, settings));
        Directory.Move(tiny.At("run"), tiny.At("moved"));
        var run = tiny.Train(tiny.Recipe("moved", null, [.. settings, "training_args.max_steps=6"]), resume: "yes");
        Assert.Contains(
            run.Notes,
            note => note == $"loading the best checkpoint, {tiny.At("moved", "checkpoint-2")}, for the test file"
        );
    }

    [Fact]
    public void A_resume_with_other_rows_or_with_no_steps_left_says_so()
    {
        tiny.Train(tiny.Recipe("run", null, Lora, "data_config.max_train_samples=20"));
        Assert.DoesNotContain(
            tiny.Train(
                tiny.Recipe("run", null, Lora, "data_config.max_train_samples=20", "training_args.max_steps=5"),
                resume: "yes"
            ).Notes,
            note => note.Contains("training rows", StringComparison.Ordinal)
        );
        var run = tiny.Train(
            tiny.Recipe("run", null, Lora, "data_config.max_train_samples=30", "training_args.max_steps=3"),
            ranks: 2,
            resume: "yes"
        );
        Assert.Single(
            run.Notes,
            note =>
                note.Contains(
                    "10 of 20 rows of epoch 1 were used; this run has 30 rows and resumes at the same fraction of the "
                        + "epoch, after row 14 of epoch 1",
                    StringComparison.Ordinal
                )
        );
        Assert.Single(
            run.Notes,
            note =>
                note.Contains(
                    "is at step 5, and this run ends at step 3, so nothing is left to train",
                    StringComparison.Ordinal
                )
        );
        Assert.All(
            run.Results.Values,
            result => Assert.Equal((5, true, null), (result.Steps, double.IsNaN(result.Loss), result.Checkpoint))
        );
    }

    [Fact]
    public void An_evaluation_whose_files_cannot_be_written_is_noted_and_training_goes_on()
    {
        Directory.CreateDirectory(tiny.At("run"));
        File.WriteAllText(tiny.At("run", "eval"), "a file where the folder should be");
        string[] settings =
        [
            Lora,
            "data_config.val_file=dev.jsonl",
            "data_config.max_eval_samples=3",
            "training_args.eval_strategy=steps",
            "training_args.eval_steps=2",
        ];
        var run = tiny.Train(tiny.Recipe("run", null, settings), ranks: 2);
        Assert.Equal(2, run.Evaluations.Count);
        Assert.Equal(
            2,
            run.Notes.Count(note =>
                note.Contains("training continues, but the evaluation of step", StringComparison.Ordinal)
            )
        );
        Assert.All(run.Results.Values, result => Assert.Equal(4, result.Steps));
    }

    [Fact]
    public void A_stop_before_the_first_step_ends_all_ranks_alike()
    {
        using var stop = new CancellationTokenSource();
        stop.Cancel();
        Assert.ThrowsAny<OperationCanceledException>(() =>
            tiny.Train(tiny.Recipe("run", 2), ranks: 2, stop: rank => rank == 1 ? stop.Token : default)
        );
    }

    [Theory]
    [
        InlineData("data_config.end_token=endoftext", null),
        InlineData("training_args.max_steps=6", "optimizer-00000-of-00001.safetensors")
    ]
    public void A_run_that_cannot_begin_leaves_nothing_in_memory(string setting, string? damaged)
    {
        tiny.Train(tiny.Recipe("run", null, Lora));
        if (damaged is not null)
        {
            // Whole by its manifest, but of other parameters.
            using (
                var file = new SafetensorsWriter(
                    tiny.Checkpoint("run", 4, damaged),
                    [StoredTensors.Spec("nothing@0:master", ScalarType.Float32, 1)]
                )
            )
            {
                using var one = ones(1);
                StoredTensors.WithBytes(
                    one,
                    ScalarType.Float32,
                    (address, bytes) => file.Write("nothing@0:master", address, bytes)
                );
                file.Complete();
            }

            File.Delete(tiny.Checkpoint("run", 4, FolderManifest.FileName));
        }

        var live = DisposeScopeManager.Statistics.ThreadTotalLiveCount;
        Assert.Throws<InvalidDataException>(() => tiny.Train(tiny.Recipe("run", null, Lora, setting), resume: "yes"));
        Assert.Equal(live, DisposeScopeManager.Statistics.ThreadTotalLiveCount);
    }

    [Theory, InlineData(true), InlineData(false)]
    public void Rows_a_step_are_named_only_where_a_micro_batch_has_a_number_of_them(bool packed)
    {
        string[] Settings(int steps) =>
            [Lora, $"training_args.packing={(packed ? "true" : "false")}", $"training_args.max_steps={steps}"];
        tiny.Train(tiny.Recipe("run", stage: null, Settings(1)));
        var note = tiny.Train(tiny.Recipe("run", stage: null, Settings(2)), ranks: 2, resume: "yes")
            .Notes.Single(text => text.Contains("was written by 1 ranks", StringComparison.Ordinal));
        Assert.Equal(
            packed ? "where they stopped." : "where they stopped, 4 rows per step.",
            note[note.IndexOf("where", StringComparison.Ordinal)..]
        );
    }

    [Theory]
    [InlineData("optimizer.pt", "AdamW's moments start at zero. Its optimizer.pt is a Python pickle")]
    [InlineData(null, "AdamW's moments start at zero.")]
    public void A_checkpoint_of_another_program_says_why_its_optimizer_is_not_read(string? pickle, string expected)
    {
        tiny.Train(tiny.Recipe("run", stage: null, Lora, "training_args.max_steps=1"), ranks: 1);
        var checkpoint = tiny.Checkpoint("run", 1);
        string[] kept = ["adapter_config.json", "adapter_model.safetensors", "trainer_state.json"];
        foreach (var file in Directory.EnumerateFiles(checkpoint).Where(file => !kept.Contains(Path.GetFileName(file))))
        {
            File.Delete(file);
        }

        if (pickle is not null)
        {
            File.WriteAllText(Path.Combine(checkpoint, pickle), "PK");
        }

        var run = tiny.Train(
            tiny.Recipe("run", stage: null, Lora, "training_args.max_steps=2"),
            ranks: 1,
            resume: "yes"
        );
        Assert.Contains(run.Notes, note => note.Contains(expected, StringComparison.Ordinal));
        Assert.Equal(pickle is not null, run.Notes.Any(note => note.Contains("pickle", StringComparison.Ordinal)));
    }

    [Fact]
    public void A_loss_that_is_not_finite_is_not_the_best_and_checkpoints_are_written_all_the_same()
    {
        string[] settings =
        [
            Lora,
            "data_config.max_train_samples=2",
            "data_config.val_file=dev.jsonl",
            "data_config.max_eval_samples=3",
            "training_args.eval_strategy=steps",
            "training_args.eval_steps=2",
            "training_args.save_steps=2",
            "training_args.load_best_model_at_end=true",
        ];
        var recipe = tiny.Recipe("run", stage: null, settings);
        var template = new Data.Templates.Glm4Template(
            Data.Tokenization.TokenizerFile.Read(tiny.Model),
            recipe.Data.Template
        );
        var rows = Data.Templates.TrainingSet.Read(
            Path.Combine(TinyRun.Data, "train.jsonl"),
            template,
            recipe.Data.TrainRows
        );
        var seen = rows.SelectMany(row => row.TokenIds).ToHashSet();
        using (var model = ModelFolder.Load(tiny.Model, ScalarType.Float32, CPU))
        {
            for (var id = 0; id < model.Config.VocabularySize; id++)
            {
                if (!seen.Contains(id))
                {
                    model.Embedding.Weight.Value[id].FillInPlace(0);
                }
            }

            ModelFolder.Save(model, tiny.Model, CheckpointLayout.Original, ScalarType.Float32);
        }

        // Without an epsilon, the norm of a row of zeros is 0 / 0.
        var config = Path.Combine(tiny.Model, "config.json");
        var json = System.Text.Json.Nodes.JsonNode.Parse(File.ReadAllText(config))!;
        json["layernorm_epsilon"] = 0;
        File.WriteAllText(config, json.ToJsonString());

        var run = tiny.Train(recipe);
        Assert.All(run.Losses, loss => Assert.True(double.IsFinite(loss)));
        Assert.All(run.Evaluations, evaluation => Assert.True(double.IsNaN(evaluation.Values["eval_loss"])));
        Assert.Equal((4, 2), (run.Losses.Count, run.Evaluations.Count));
        Assert.Null(TrainerStateFile.Read(tiny.Checkpoint("run", 4)).BestMetric);
        Assert.Equal(2, TrainingState.Read(tiny.Checkpoint("run", 4))!.EvaluationsWithoutImprovement);
    }

    [Fact]
    public void Some_weights_of_a_layer_that_are_trained_beside_an_adapter_are_cut_apart_from_the_frozen_ones()
    {
        string[] adapter = ["peft_config={ peft_type: LORA, r: 4, lora_alpha: 16, modules_to_save: [dense] }"];
        var one = tiny.Train(
            tiny.Recipe("one", stage: null, ["training_args.gradient_accumulation_steps=2", .. adapter])
        );
        var many = tiny.Train(
            tiny.Recipe(
                "many",
                stage: null,
                [
                    "training_args.deepspeed={ zero_optimization: { stage: 3, stage3_param_persistence_threshold: 0 } "
                        + "}",
                    .. adapter,
                ]
            ),
            ranks: 2
        );
        Assert.All(one.Losses.Zip(many.Losses), pair => Assert.Equal(pair.First, pair.Second, 2e-5));
        Assert.All(
            Differences(
                tiny.Checkpoint("one", 4, "adapter_model.safetensors"),
                tiny.Checkpoint("many", 4, "adapter_model.safetensors")
            ),
            difference => Assert.InRange(difference.Value, 0, 2e-3)
        );
    }

    [Fact]
    public void An_evaluation_on_start_comes_first_and_a_delay_leaves_out_the_early_ones()
    {
        string[] settings =
        [
            "data_config.val_file=dev.jsonl",
            "data_config.max_eval_samples=3",
            "training_args.eval_strategy=steps",
            "training_args.eval_steps=1",
            "training_args.eval_delay=3",
            "training_args.eval_on_start=true",
            Lora,
        ];
        var run = tiny.Train(tiny.Recipe("run", null, settings), ranks: 2);
        Assert.Equal([0, 3, 4], run.Evaluations.Select(evaluation => evaluation.Step));
        Assert.True(run.Evaluations[0].Values["eval_loss"] > run.Evaluations[2].Values["eval_loss"]);
        Assert.Equal(
            [5],
            tiny.Train(tiny.Recipe("run", null, [.. settings, "training_args.max_steps=5"]), resume: "yes")
                .Evaluations.Select(evaluation => evaluation.Step)
        );
    }

    [Theory, InlineData(1), InlineData(2), InlineData(3)]
    public void Only_damaged_checkpoints_are_no_reason_to_start_anew_and_one_that_is_passed_over_is_named(int ranks)
    {
        tiny.Train(tiny.Recipe("run", null, Lora, "training_args.max_steps=2", "training_args.save_steps=1"));
        File.AppendAllText(tiny.Checkpoint("run", 2, "training_state.json"), " ");
        var run = tiny.Train(
            tiny.Recipe("run", null, Lora, "training_args.max_steps=2", "training_args.save_strategy='no'"),
            ranks,
            resume: "yes"
        );
        Assert.Equal(1, run.Start!.DoneSteps);
        Assert.Equal(ranks, run.Results.Count);
        Assert.Single(
            run.Notes,
            note =>
                note.Contains("checkpoint-2 is damaged: 'training_state.json'", StringComparison.Ordinal)
                && note.Contains("checkpoint-1 instead", StringComparison.Ordinal)
        );
        File.Delete(tiny.Checkpoint("run", 1, "adapter_model.safetensors"));
        var error = Assert.ThrowsAny<Exception>(() => tiny.Train(tiny.Recipe("run", null, Lora), ranks, resume: "yes"));
        Assert.IsType(ranks == 1 ? typeof(InvalidDataException) : typeof(SharedFailureException), error);
        Assert.DoesNotContain("Rank", error.Message, StringComparison.Ordinal);
        Assert.Contains("No intact checkpoint to resume from", error.Message, StringComparison.Ordinal);
        Assert.Contains("'adapter_model.safetensors' is missing", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(
        "peft_config.target_modules=[dense]",
        "'target_modules' is query_key_value in the checkpoint but dense in the recipe"
    )]
    [InlineData("peft_config.target_modules=all-linear", "'target_modules' is query_key_value in the checkpoint")]
    [InlineData(
        "peft_config.modules_to_save=[word_embeddings]",
        "'modules_to_save' is  in the checkpoint but word_embeddings"
    )]
    [InlineData(
        "data_config.template=glm-4-june-2024",
        "was trained with template glm-4 and end token <|user|>, but the recipe has glm-4-june-2024"
    )]
    [InlineData("data_config.end_token=<|endoftext|>", "the recipe has glm-4 and <|endoftext|>")]
    public void A_recipe_that_would_train_something_else_than_the_checkpoint_is_refused(string setting, string problem)
    {
        tiny.Train(tiny.Recipe("run", null, Lora, "training_args.max_steps=1"));
        var error = Assert.Throws<InvalidDataException>(() =>
            tiny.Train(tiny.Recipe("run", null, Lora, setting), resume: "yes")
        );
        Assert.Contains(problem, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_same_targets_in_other_words_go_on()
    {
        tiny.Train(tiny.Recipe("run", null, Lora, "training_args.max_steps=1"));
        Assert.Equal(
            1,
            tiny.Train(
                tiny.Recipe(
                    "run",
                    null,
                    Lora,
                    "peft_config.target_modules='.*query_key_value'",
                    "training_args.max_steps=2"
                ),
                resume: "yes"
            ).Start!.DoneSteps
        );
    }

    [Fact]
    public void A_checkpoint_is_chatted_with_in_the_template_it_was_trained_with()
    {
        tiny.Train(tiny.Recipe("run", null, Lora, "training_args.max_steps=1", "data_config.template=glm-4-june-2024"));
        using var chat = TunedChat.Load(tiny.Checkpoint("run", 1), new TunedChatOptions { Device = "cpu" });
        Assert.Equal("glm-4-june-2024", chat.Chat.Template.Options.Preset.Name);
    }

    private static List<int> Lines(string file) =>
        [.. Evaluation.PredictionFile.Read(file).Select(row => row.Extra["line"].GetInt32())];

    private static void Damage(string checkpoint)
    {
        var file = Directory.GetFiles(checkpoint, "optimizer-*").Order(StringComparer.Ordinal).Last();
        var bytes = File.ReadAllBytes(file);
        bytes[^1] ^= 1;
        File.WriteAllBytes(file, bytes);
    }

    private static void CancelAt(long step, StepReport report, CancellationTokenSource stop)
    {
        if (report.Step == step)
        {
            stop.Cancel();
        }
    }

    private static Dictionary<string, double> Differences(string one, string other)
    {
        using var scope = NewDisposeScope();
        using var first = SafetensorsFile.Open(one);
        using var second = SafetensorsFile.Open(other);
        return first.Tensors.ToDictionary(
            tensor => tensor.Name,
            tensor =>
                (StoredTensors.Read(tensor) - StoredTensors.Read(second[tensor.Name]))
                    .abs()
                    .max()
                    .to_type(ScalarType.Float64)
                    .item<double>()
        );
    }
}
