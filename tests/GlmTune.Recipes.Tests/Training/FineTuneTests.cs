using System.Text.Json.Nodes;
using GlmTune.Checkpoints;
using GlmTune.Data.Tokenization;
using GlmTune.Files;
using GlmTune.Kernels;
using GlmTune.Kernels.Native;
using GlmTune.Model;
using GlmTune.Model.Adapters;
using GlmTune.Recipes.Chat;
using GlmTune.Recipes.Models;
using GlmTune.Recipes.Reporting;
using GlmTune.Recipes.Training;
using GlmTune.Training;
using GlmTune.Training.Checkpoints;
using GlmTune.Weights;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Recipes.Tests;

/// <summary>Whole runs on a very small model with the shipped tokenizer and data.</summary>
public sealed class FineTuneTests : IDisposable
{
    private readonly string root = Directory.CreateTempSubdirectory("glmtune-finetune").FullName;

    public FineTuneTests()
    {
        NativeRuntime.Load();
        var nano = Path.Combine(RepositoryRoot(), "models", "glm-nano");
        Directory.CreateDirectory(Model);
        TokenizerFile.Copy(nano, Model);
        var config = ModelConfig.Read(nano) with
        {
            LayerCount = 2,
            HiddenSize = 32,
            FeedForwardSize = 48,
            QueryHeads = 4,
            KeyValueHeads = 2,
            HeadDim = 8,
        };
        using var model = config.NewModel(ScalarType.Float32, CPU);
        model.InitializeRandomly(5);
        ModelFolder.Save(model, Model, CheckpointLayout.Original, ScalarType.Float32);
    }

    private readonly List<string> notes = [];

    private string Model => Path.Combine(root, "model");

    public void Dispose() => Directory.Delete(root, recursive: true);

    [Theory, InlineData(true, 1), InlineData(false, 1), InlineData(true, 2)]
    public void A_run_stopped_and_resumed_equals_the_uninterrupted_one_bit_for_bit(bool lora, int accumulation)
    {
        var whole = Train("whole", lora, accumulation, steps: 6, stopAfter: null);
        Train("parts", lora, accumulation, steps: 6, stopAfter: 4);
        var parts = Train("parts", lora, accumulation, steps: 6, stopAfter: null, resume: "yes");
        Assert.Equal(whole[4..], parts);
        foreach (
            var file in (string[])
                [
                    lora ? "adapter_model.safetensors" : "model.safetensors",
                    "optimizer-00000-of-00001.safetensors",
                    "trainer_state.json",
                    "training_state.json",
                ]
        )
        {
            Assert.Equal(
                File.ReadAllBytes(Checkpoint("whole", 6, file)),
                File.ReadAllBytes(Checkpoint("parts", 6, file))
            );
        }
    }

    [Theory]
    [InlineData("optimizer_state=bfloat16", "master_weights=none", "max_grad_norm=0")]
    [InlineData("optimizer_state=int8", "master_weights=none", "offload_optimizer=true", "offload_param=true")]
    public void Small_state_goes_on_from_a_checkpoint_as_if_never_stopped(params string[] keys)
    {
        string[] settings = ["training_args.dtype=bfloat16", .. keys.Select(key => "training_args." + key)];
        var (whole, parts) = TrainWholeAndInParts(settings);
        Assert.Equal(whole[2..], parts);
        Assert.DoesNotContain(notes, note => note.Contains("converted", StringComparison.Ordinal));
        foreach (var file in (string[])["model.safetensors", "optimizer-00000-of-00001.safetensors"])
        {
            Assert.Equal(
                File.ReadAllBytes(Checkpoint("whole", 4, file)),
                File.ReadAllBytes(Checkpoint("parts", 4, file))
            );
        }
    }

    [Fact]
    public void State_of_another_type_is_converted_with_a_note()
    {
        string[] settings = ["training_args.dtype=bfloat16"];
        var (whole, parts) = TrainWholeAndInParts(
            settings,
            resumed: [.. settings, "training_args.optimizer_state=int8"]
        );
        Assert.All(whole[2..].Zip(parts), pair => Assert.InRange(pair.Second / pair.First, 0.99, 1.01));
        Assert.Contains(
            notes,
            note =>
                note.EndsWith(
                    "AdamW's moments were stored as float32, and this run keeps int8; they were converted",
                    StringComparison.Ordinal
                )
        );
    }

    [Theory]
    [
        InlineData("PREFIX_TUNING", "num_virtual_tokens=8"),
        InlineData("PREFIX_TUNING", "num_virtual_tokens=8", "prefix_projection=true")
    ]
    [InlineData("LORA", "use_dora=true", "lora_dropout=0.1"), InlineData("LORA", "modules_to_save=[word_embeddings]")]
    public void Adapters_of_every_kind_go_on_from_a_checkpoint_as_if_never_stopped(string kind, params string[] keys)
    {
        string[] settings = [$"peft_config.peft_type={kind}", .. keys.Select(key => "peft_config." + key)];
        var (whole, parts) = TrainWholeAndInParts(settings);
        Assert.Equal(whole[2..], parts);
        Assert.Equal(
            File.ReadAllBytes(Checkpoint("whole", 4, "adapter_model.safetensors")),
            File.ReadAllBytes(Checkpoint("parts", 4, "adapter_model.safetensors"))
        );
    }

    [Fact]
    public void One_micro_batch_of_four_gives_the_losses_of_four_micro_batches_of_one()
    {
        var together = Train(
            "together",
            lora: true,
            accumulation: 1,
            steps: 4,
            stopAfter: null,
            settings: ["training_args.per_device_train_batch_size=4", "peft_config.lora_dropout=0"]
        );
        var apart = Train(
            "apart",
            lora: true,
            accumulation: 4,
            steps: 4,
            stopAfter: null,
            settings: ["training_args.per_device_train_batch_size=1", "peft_config.lora_dropout=0"]
        );
        Assert.All(together.Zip(apart), pair => Assert.Equal(pair.First, pair.Second, 1e-4));
    }

    [Fact]
    public void Packing_gives_the_loss_of_the_same_rows_padded()
    {
        var padded = Train(
            "padded",
            lora: true,
            accumulation: 1,
            steps: 1,
            stopAfter: null,
            settings:
            [
                "peft_config.lora_dropout=0",
                "data_config.max_train_samples=4",
                "training_args.per_device_train_batch_size=4",
            ]
        );
        var packed = Train(
            "packed",
            lora: true,
            accumulation: 1,
            steps: 1,
            stopAfter: null,
            settings:
            [
                "peft_config.lora_dropout=0",
                "data_config.max_train_samples=4",
                "training_args.packing=true",
                "training_args.pack_length=1024",
            ]
        );
        Assert.Equal(padded[0], packed[0], 1e-4);
    }

    [Theory, InlineData("cheap"), InlineData("true")]
    public void Recomputation_changes_no_loss(string written)
    {
        var kept = Train(
            "kept",
            lora: true,
            accumulation: 1,
            steps: 3,
            stopAfter: null,
            settings: ["training_args.gradient_checkpointing=false"]
        );
        Assert.Equal(
            kept,
            Train(
                "again",
                lora: true,
                accumulation: 1,
                steps: 3,
                stopAfter: null,
                settings: [$"training_args.gradient_checkpointing={written}"]
            )
        );
    }

    [Theory]
    [InlineData("training_args.fp8_base=true", "fp8")]
    [InlineData("quantization=nf4", "nf4")]
    [InlineData("training_args.quantization=int8", "int8")]
    public void A_quantized_base_gives_nearly_the_losses_and_an_adapter_as_any_other(string setting, string stored)
    {
        var plain = Train("plain", lora: true, accumulation: 1, steps: 4, stopAfter: null);
        var rounded = Train("rounded", lora: true, accumulation: 1, steps: 4, stopAfter: null, settings: [setting]);
        Assert.NotEqual(plain, rounded);
        Assert.All(plain.Zip(rounded), pair => Assert.Equal(pair.First, pair.Second, 0.03 * pair.First));
        using var model = ModelFolder.Load(Model, ScalarType.Float32, CPU);
        using var lora = AdapterFolder.LoadLora(Checkpoint("rounded", 4, ""), model);
        Assert.All(lora.Deltas, delta => Assert.NotEqual(0f, delta.B.Value.abs().max().item<float>()));
        Assert.Equal(stored, BaseCheck.RecordedQuantization(Checkpoint("rounded", 4, "")));
        Assert.Null(BaseCheck.RecordedQuantization(Checkpoint("plain", 4, "")));

        List<string> notes = [];
        var path = new TunedPath(Model, Checkpoint("rounded", 4, ""));
        MergeAdapter.Run(path, Checkpoint("rounded", 4, "") + "-merged", null, null, CPU, notes.Add);
        Assert.Contains(notes, note => note.Contains($"quantized to {stored}", StringComparison.Ordinal));
        Assert.True(File.Exists(System.IO.Path.Combine(path.AdapterFolder + "-merged", "config.json")));
    }

    [
        Theory,
        InlineData("training_args.fp8_base=true", "dense_4h_to_h"),
        InlineData("quantization=nf4", "dense_4h_to_h"),
        InlineData("training_args.offload_embedding=true", "word_embeddings")
    ]
    public void Weights_that_are_trained_beside_an_adapter_stay_as_they_are(string setting, string module)
    {
        var error = Assert.Throws<InvalidDataException>(() =>
            Train(
                "both",
                lora: true,
                accumulation: 1,
                steps: 1,
                stopAfter: null,
                settings: [setting, $"peft_config.modules_to_save=[{module}]"]
            )
        );
        Assert.Contains(
            $"{module}.weight' is trained because modules_to_save names it",
            error.Message,
            StringComparison.Ordinal
        );
    }

    [Fact]
    public void A_checkpoint_holds_what_peft_and_the_demos_users_look_for()
    {
        Train("files", lora: true, accumulation: 1, steps: 2, stopAfter: null);
        var folder = Checkpoint("files", 2, "");
        foreach (
            var file in (string[])
                [
                    "adapter_config.json",
                    "adapter_model.safetensors",
                    "tokenizer.model",
                    "tokenizer_config.json",
                    "trainer_state.json",
                    FolderManifest.FileName,
                ]
        )
        {
            Assert.True(File.Exists(Path.Combine(folder, file)), file);
        }

        FolderManifest.Verify(folder);
        using var weights = WeightFiles.Open(Path.Combine(folder, "adapter_model.safetensors"));
        Assert.Equal(
            [
                "base_model.model.transformer.encoder.layers.0.self_attention.query_key_value.lora_A.weight",
                "base_model.model.transformer.encoder.layers.0.self_attention.query_key_value.lora_B.weight",
            ],
            weights.Tensors.Select(tensor => tensor.Name).Order(StringComparer.Ordinal).Take(2)
        );
        var config = JsonNode.Parse(File.ReadAllText(Path.Combine(folder, "adapter_config.json")))!.AsObject();
        Assert.Equal("LORA", (string?)config["peft_type"]);
        Assert.Equal(["query_key_value"], config["target_modules"]!.AsArray().Select(name => (string)name!));
        Assert.Equal(config.Select(pair => pair.Key), config.Select(pair => pair.Key).Order(StringComparer.Ordinal));
        var state = JsonNode.Parse(File.ReadAllText(Path.Combine(folder, "trainer_state.json")))!;
        Assert.Equal(2, (int)state["global_step"]!);
        Assert.Equal(2, state["log_history"]!.AsArray().Count(line => line!["loss"] is not null));

        using var model = ModelFolder.Load(Model, ScalarType.Float32, CPU);
        using var lora = AdapterFolder.LoadLora(folder, model);
        Assert.All(lora.Deltas, delta => Assert.NotEqual(0f, delta.B.Value.abs().max().item<float>()));
    }

    [Fact]
    public void The_reference_trainers_checkpoint_goes_on_from_its_step_with_a_note()
    {
        var adapter = Path.Combine(GoldenData.Path("glm-tiny"), "trainer", "checkpoint-4");
        Assert.Equal(4, TrainerStateFile.Read(adapter).GlobalStep);
        Assert.False(OptimizerFile.IsIn(adapter));
        Assert.Null(TrainingState.Read(adapter));
        using var model = ModelFolder.Load(GoldenData.Path("glm-tiny/model-hf"), ScalarType.Float32, CPU);
        using var lora = AdapterFolder.LoadLora(adapter, model);
        Assert.NotEmpty(lora.Deltas);
    }

    [Theory, InlineData("0"), InlineData("-3"), InlineData("maybe"), InlineData("7"), InlineData("checkpoint-7")]
    public void A_resume_that_means_nothing_lists_the_checkpoints(string resume)
    {
        var output = Path.Combine(root, "list");
        Directory.CreateDirectory(Path.Combine(output, "checkpoint-600"));
        Directory.CreateDirectory(Path.Combine(output, "tmp-glmtune-checkpoint-700"));
        var error = Assert.Throws<InvalidDataException>(() => CheckpointFolder.Candidates(output, resume));
        Assert.Contains("checkpoint-600", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Checkpoints_of_an_older_run_go_before_the_first_is_saved()
    {
        Directory.CreateDirectory(Path.Combine(root, "limit", "checkpoint-40"));
        Train(
            "limit",
            lora: true,
            accumulation: 1,
            steps: 2,
            stopAfter: null,
            settings: ["training_args.save_total_limit=1", "training_args.overwrite_output_dir=true"]
        );
        Assert.Equal([2], CheckpointFolder.Steps(Path.Combine(root, "limit")));
        Assert.Single(notes, note => note.Contains("of an earlier run were deleted", StringComparison.Ordinal));
    }

    [Fact]
    public void An_old_checkpoint_that_cannot_be_removed_is_noted_and_the_others_go()
    {
        var output = Path.Combine(root, "prune");
        foreach (var step in new[] { 1, 2, 3 })
        {
            File.WriteAllText(
                Path.Combine(Directory.CreateDirectory(Path.Combine(output, $"checkpoint-{step}")).FullName, "file"),
                ""
            );
        }

        File.WriteAllText(Path.Combine(output, "tmp-glmtune-checkpoint-1"), "in the way");
        Assert.Contains(
            "checkpoint-1: this old checkpoint could not be removed",
            Assert.Single(CheckpointFolder.Prune(output, 1)),
            StringComparison.Ordinal
        );
        Assert.Equal([1, 3], CheckpointFolder.Steps(output));
        File.Delete(Path.Combine(output, "tmp-glmtune-checkpoint-1"));
        Assert.Empty(CheckpointFolder.Prune(output, 1));
        Assert.Equal([3], CheckpointFolder.Steps(output));
    }

    [Theory, InlineData("data_config.end_token=endoftext"), InlineData("peft_config.r=8")]
    public void A_resume_whose_recipe_does_not_fit_the_checkpoint_is_refused(string change)
    {
        Train("change", lora: true, accumulation: 1, steps: 2, stopAfter: null);
        Assert.Throws<InvalidDataException>(() =>
            Train("change", lora: true, accumulation: 1, steps: 4, stopAfter: null, resume: "yes", settings: [change])
        );
    }

    [Theory]
    [InlineData(
        "training_args.per_device_train_batch_size=3",
        ": 4 of 100 rows of epoch 1 were used, in micro-batches of another size or packed in another way; this run has "
            + "100 rows and resumes at the same fraction of the epoch, after row 3 of epoch 1"
    )]
    [InlineData(
        "data_config.max_train_samples=50",
        ": 4 of 100 rows of epoch 1 were used; this run has 50 rows and resumes at the same fraction of the epoch, "
            + "after row 2 of epoch 1"
    )]
    [InlineData("training_args.per_device_train_batch_size=1", null)]
    public void A_resume_with_other_micro_batches_or_rows_continues_at_the_same_fraction_of_the_epoch(
        string change,
        string? note
    )
    {
        const string rows = "data_config.max_train_samples=100";
        Train("fraction", lora: true, accumulation: 1, steps: 2, stopAfter: null, settings: [rows]);
        var losses = Train(
            "fraction",
            lora: true,
            accumulation: 1,
            steps: 4,
            stopAfter: null,
            resume: "yes",
            settings: [rows, change]
        );
        Assert.Equal(2, losses.Count);
        Assert.Equal(
            note is null ? 0 : 1,
            notes.Count(text => text.Contains("fraction of the epoch", StringComparison.Ordinal))
        );
        Assert.All(notes, text => Assert.DoesNotContain("(Parameter", text, StringComparison.Ordinal));
        if (note is not null)
        {
            Assert.Contains(notes, text => text.Contains(note, StringComparison.Ordinal));
        }
    }

    [Fact]
    public void A_state_with_pythons_words_for_numbers_that_are_not_finite_is_read()
    {
        File.WriteAllText(
            Path.Combine(root, "trainer_state.json"),
            """{"global_step": 3, "log_history": [{"loss": NaN, "grad_norm": -Infinity, "step": 3}]}"""
        );
        Assert.Equal(3, TrainerStateFile.Read(root).GlobalStep);
    }

    [Fact]
    public void A_resume_by_number_name_and_path_means_the_same()
    {
        var output = Path.Combine(root, "same");
        var expected = Path.Combine(output, "checkpoint-600");
        Directory.CreateDirectory(expected);
        Assert.All(
            (string[])["600", "checkpoint-600", expected, "YES"],
            resume => Assert.Equal([expected], CheckpointFolder.Candidates(output, resume))
        );
        Assert.Empty(CheckpointFolder.Candidates(output, "no"));
        Assert.Empty(CheckpointFolder.Candidates(output, ""));
        Assert.Empty(CheckpointFolder.Candidates(Path.Combine(root, "nothing"), "yes"));
    }

    [Fact]
    public void A_loss_that_is_not_finite_stops_before_the_update_and_names_the_rows()
    {
        using var model = ModelFolder.Load(Model, ScalarType.Float32, CPU);
        model.Head.Norm.Value.FillInPlace(float.MaxValue);
        ModelFolder.Save(model, Model, CheckpointLayout.Original, ScalarType.Float32);
        var error = Assert.Throws<RejectedStepException>(() =>
            Train("nan", lora: true, accumulation: 1, steps: 2, stopAfter: null)
        );
        Assert.Contains("Step 1: the loss is NaN", error.Message, StringComparison.Ordinal);
        Assert.Contains("lines ", error.Message, StringComparison.Ordinal);
    }

    [Theory, InlineData("steps", new[] { 1 }), InlineData("no", new int[0])]
    public void The_step_before_one_that_is_not_finite_is_saved_unless_nothing_is(string strategy, int[] saved)
    {
        // The first update is far too large for the second step's numbers.
        Assert.Throws<RejectedStepException>(() =>
            Train(
                "far",
                lora: false,
                accumulation: 1,
                steps: 3,
                stopAfter: null,
                settings: ["training_args.learning_rate=1e30", $"training_args.save_strategy={strategy}"]
            )
        );
        Assert.Equal(saved, CheckpointFolder.Steps(Path.Combine(root, "far")).Select(step => (int)step));
    }

    private static string RepositoryRoot() =>
        Path.GetFullPath(Path.Combine(GoldenData.Path("glm-tiny"), "..", "..", ".."));

    private string Checkpoint(string name, int step, string file) =>
        Path.Combine(root, name, $"checkpoint-{step}", file);

    // The losses of four steps, and the last two of them from a run that stopped after two and was resumed.
    private (List<double> Whole, List<double> Parts) TrainWholeAndInParts(string[] settings, string[]? resumed = null)
    {
        var whole = Of("whole", null, null, settings);
        Of("parts", 2, null, settings);
        return (whole, Of("parts", null, "yes", resumed ?? settings));

        List<double> Of(string name, int? stopAfter, string? resume, string[] with) =>
            Train(name, lora: false, accumulation: 1, steps: 4, stopAfter, resume, with);
    }

    private List<double> Train(
        string name,
        bool lora,
        int accumulation,
        int steps,
        int? stopAfter,
        string? resume = null,
        string[]? settings = null
    )
    {
        var yaml = Path.Combine(root, $"{name}.yaml");
        File.WriteAllText(
            yaml,
            $"""
            data_config: {"{"} train_file: train.jsonl {"}"}
            max_input_length: 48
            max_output_length: 48
            training_args:
              output_dir: {Path.Combine(root, name)}
              max_steps: {steps}
              learning_rate: 5e-3
              per_device_train_batch_size: 2
              gradient_accumulation_steps: {accumulation}
              logging_steps: 1
              save_steps: 100
              use_cpu: true
            {(lora ? "peft_config: { peft_type: LORA, r: 4, lora_alpha: 16, lora_dropout: 0.1 }" : "")}
            """
        );
        using var stop = new CancellationTokenSource();
        notes.Clear();
        var losses = new Losses(
            report =>
            {
                if (report.Step == stopAfter)
                {
                    stop.Cancel();
                }
            },
            notes
        );
        FineTune.Run(
            RecipeFile.Read(yaml, settings ?? []),
            Path.Combine(RepositoryRoot(), "data", "ads"),
            Model,
            resume,
            losses,
            stop.Token
        );
        return losses.Seen;
    }

    private sealed class Losses(Action<StepReport> stepped, List<string> notes) : IFineTuneReporter
    {
        public List<double> Seen { get; } = [];

        public void Stepped(StepReport report)
        {
            Seen.Add(report.Loss);
            stepped(report);
        }

        public void Note(string text) => notes.Add(text);

        public void Started(FineTuneStart start) { }

        public void Logged(long atStep, IReadOnlyDictionary<string, double> values) { }

        public void Evaluated(long atStep, IReadOnlyDictionary<string, double> values) { }

        public void Saved(string folder) { }
    }
}
