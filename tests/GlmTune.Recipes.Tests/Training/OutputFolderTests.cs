using System.Text.Json;
using GlmTune.Checkpoints;
using GlmTune.Recipes.Reporting;
using GlmTune.Recipes.Training;
using GlmTune.Runs;

namespace GlmTune.Recipes.Tests;

/// <summary>What a run finds in its output folder, and what it reports before the model is read.</summary>
public sealed class OutputFolderTests : IDisposable
{
    private const string Lora = "peft_config={ peft_type: LORA, r: 4 }";
    private readonly TinyRun tiny = new();

    public void Dispose() => tiny.Dispose();

    [Fact]
    public void A_second_run_does_not_begin_in_the_folder_of_another()
    {
        tiny.Train(tiny.Recipe("run", null, Lora));
        var before = File.ReadAllBytes(tiny.Checkpoint("run", 4, "adapter_model.safetensors"));
        foreach (var resume in new[] { null, "no" })
        {
            var error = Assert.Throws<InvalidDataException>(() =>
                tiny.Train(tiny.Recipe("run", null, Lora, "training_args.seed=3"), resume: resume)
            );
            Assert.Equal(
                $"{tiny.At("run")}: contains checkpoints of an earlier run (checkpoint-4). To resume it, add "
                    + "yes to the command. To keep it and start another, choose another folder: --set "
                    + $"training_args.output_dir={tiny.At("run")}-2. To delete its checkpoints and start from "
                    + "scratch, add --set training_args.overwrite_output_dir=true.",
                error.Message
            );
        }

        Assert.Equal(before, File.ReadAllBytes(tiny.Checkpoint("run", 4, "adapter_model.safetensors")));
    }

    [Theory, InlineData(null, 1), InlineData("yes", 1), InlineData(null, 2), InlineData("yes", 2)]
    public void A_run_is_refused_while_another_uses_its_folder_and_changes_nothing(string? resume, int ranks)
    {
        string? refused = null;
        tiny.Train(tiny.Recipe("alone", null, Lora, "training_args.save_steps=1"));
        var recipe = tiny.Recipe("run", null, Lora, "training_args.save_steps=1");
        tiny.Train(
            recipe,
            stepped: (_, report) =>
            {
                if (report.Step == 3)
                {
                    refused = Assert.ThrowsAny<Exception>(() => tiny.Train(recipe, ranks, resume: resume)).Message;
                }
            }
        );

        Assert.Contains(
            $"{tiny.At("run")}: another run is using this folder: process {Environment.ProcessId} on "
                + Environment.MachineName,
            refused,
            StringComparison.Ordinal
        );
        Assert.DoesNotContain("earlier run", refused, StringComparison.Ordinal);
        Assert.Equal([1, 2, 3, 4], CheckpointFolder.Steps(tiny.At("run")));
        foreach (var step in new[] { 2, 3, 4 })
        {
            Assert.Equal(
                File.ReadAllBytes(tiny.Checkpoint("alone", step, "adapter_model.safetensors")),
                File.ReadAllBytes(tiny.Checkpoint("run", step, "adapter_model.safetensors"))
            );
            Assert.Empty(CheckpointFolder.Compare(tiny.Checkpoint("run", step)).Problems);
        }

        Assert.DoesNotContain("run.lock", Directory.GetFiles(tiny.At("run")).Select(Path.GetFileName));
    }

    [Fact]
    public void A_manifest_carries_the_id_of_the_run_with_every_file()
    {
        tiny.Train(tiny.Recipe("run", null, Lora, "training_args.save_steps=2"));
        HashSet<string> RunsOf(int step)
        {
            using var manifest = JsonDocument.Parse(File.ReadAllText(tiny.Checkpoint("run", step, "manifest.json")));
            return
            [
                manifest.RootElement.GetProperty("run").GetString()!,
                .. manifest
                    .RootElement.GetProperty("files")
                    .EnumerateArray()
                    .Select(f => f.GetProperty("run").GetString()!),
            ];
        }

        Assert.Matches("^[0-9a-f]{8}$", Assert.Single(RunsOf(2)));
        Assert.Equal(RunsOf(2), RunsOf(4));
        tiny.Train(tiny.Recipe("run", null, Lora, "training_args.max_steps=5"), resume: "yes");
        Assert.NotEqual(RunsOf(4), RunsOf(5));

        var path = tiny.Checkpoint("run", 5, "manifest.json");
        var text = File.ReadAllText(path);
        var last = text.LastIndexOf("\"run\": \"", StringComparison.Ordinal) + "\"run\": \"".Length;
        File.WriteAllText(path, $"{text[..last]}00000000{text[(last + 8)..]}");
        Assert.Equal(
            ["manifest.json names files of more than one run"],
            CheckpointFolder.Compare(tiny.Checkpoint("run", 5)).Problems
        );
    }

    [Fact]
    public void A_run_that_resumes_elsewhere_does_not_begin_in_the_folder_of_another()
    {
        tiny.Train(tiny.Recipe("one", null, Lora));
        tiny.Train(tiny.Recipe("two", null, Lora));
        var error = Assert.Throws<InvalidDataException>(() =>
            tiny.Train(
                tiny.Recipe("two", null, Lora, "training_args.max_steps=6", "training_args.overwrite_output_dir=true"),
                resume: tiny.Checkpoint("one", 4)
            )
        );
        Assert.Contains("contains checkpoints of another run (checkpoint-4)", error.Message, StringComparison.Ordinal);
        tiny.Train(tiny.Recipe("three", null, Lora, "training_args.max_steps=6"), resume: tiny.Checkpoint("one", 4));
        Assert.Equal([6], CheckpointFolder.Steps(tiny.At("three")));
    }

    [Theory, InlineData(1), InlineData(2)]
    public void An_overwriting_run_starts_its_own_entry_and_the_old_one_keeps_its_curves(int ranks)
    {
        string[] settings = [Lora, "data_config.test_file=test.jsonl", "data_config.max_predict_samples=2"];
        Record(tiny.Recipe("run", null, settings), resume: null);
        File.WriteAllText(tiny.At("run", "predictions_test.jsonl"), "of the old run");
        File.WriteAllText(tiny.At("run", "notes.txt"), "mine");
        var old = Assert.Single(RunFolder.Find(tiny.At("run")));
        Assert.Equal(4, old.ReadStatus().Step);

        var recipe = tiny.Recipe(
            "run",
            null,
            Lora,
            "training_args.max_steps=2",
            "training_args.overwrite_output_dir=true"
        );
        if (ranks == 1)
        {
            Record(recipe, resume: null);
        }
        else
        {
            tiny.Train(recipe, ranks);
        }

        Assert.Equal([2], CheckpointFolder.Steps(tiny.At("run")));
        Assert.False(File.Exists(tiny.At("run", "predictions_test.jsonl")));
        Assert.False(File.Exists(tiny.At("run", "metrics_test.json")));
        Assert.True(File.Exists(tiny.At("run", "notes.txt")));
        var kept = Assert.Single(
            RunFolder.Find(tiny.At("run")),
            run => run.Name.StartsWith("earlier-runs/", StringComparison.Ordinal)
        );
        Assert.Equal((RunState.Finished, 4L), (kept.ReadStatus().State, kept.ReadStatus().Step));
        Assert.True(File.Exists(Path.Combine(kept.FullPath, "metrics_test.json")));
        if (ranks == 1)
        {
            var fresh = Assert.Single(RunFolder.Find(tiny.At("run")), run => run.FullPath == tiny.At("run"));
            Assert.Equal((RunState.Finished, 2L), (fresh.ReadStatus().State, fresh.ReadStatus().Step));
        }
    }

    [Fact]
    public void A_resumed_run_continues_its_own_curves()
    {
        Record(tiny.Recipe("run", null, Lora, "training_args.max_steps=2"), resume: null);
        Record(tiny.Recipe("run", null, Lora, "training_args.overwrite_output_dir=true"), resume: "yes");
        Assert.Equal(4, Assert.Single(RunFolder.Find(tiny.At("run"))).ReadStatus().Step);
        Assert.Equal([2, 4], CheckpointFolder.Steps(tiny.At("run")));
    }

    [Fact]
    public void Two_runs_without_checkpoints_keep_their_own_curves()
    {
        var recipe = tiny.Recipe("run", null, Lora, "training_args.save_strategy=no");
        Record(recipe, resume: null);
        Record(recipe, resume: null);
        Assert.Equal([4, 4], RunFolder.Find(tiny.At("run")).Select(run => run.ReadStatus().Step));
    }

    [Theory]
    [InlineData("file", "is a file; expected a folder")]
    [InlineData("file/out", "is a file; expected a folder")]
    public void A_folder_that_cannot_be_written_is_reported_before_the_weights_are_read(string name, string problem)
    {
        File.WriteAllText(tiny.At("file"), "");
        File.WriteAllText(Path.Combine(tiny.Model, "model.safetensors"), "not weights");
        foreach (var key in new[] { "output_dir", "logging_dir" })
        {
            var error = Assert.Throws<InvalidDataException>(() =>
                tiny.Train(tiny.Recipe("run", null, Lora, $"training_args.{key}={tiny.At(name)}"))
            );
            Assert.Contains(problem, error.Message, StringComparison.Ordinal);
            Assert.Contains("model.safetensors", error.Message, StringComparison.Ordinal);
        }

        Assert.False(Directory.Exists(tiny.At("run")));
    }

    [Theory, InlineData(1), InlineData(2)]
    public void One_report_has_the_problems_of_the_model_the_output_folder_and_every_file(int ranks)
    {
        var data = Directory.CreateDirectory(tiny.At("data")).FullName;
        File.WriteAllText(Path.Combine(data, "train.jsonl"), "{}\n");
        File.WriteAllText(Path.Combine(data, "dev.jsonl"), "[]\n");
        File.WriteAllText(tiny.At("run"), "a file");
        File.Delete(Path.Combine(tiny.Model, "model.safetensors"));
        var recipe = tiny.Recipe(
            "run",
            null,
            Lora,
            "data_config.val_file=dev.jsonl",
            "data_config.test_file=none.jsonl",
            "training_args.eval_strategy=epoch"
        );
        var error = Assert.ThrowsAny<Exception>(() => tiny.Train(recipe, ranks, data: data));
        foreach (
            var part in new[]
            {
                "safetensors",
                $"{tiny.At("run")}: cannot be written",
                "train.jsonl, line 1",
                "dev.jsonl",
                "none.jsonl: file not found",
            }
        )
        {
            Assert.Contains(part, error.Message, StringComparison.Ordinal);
        }

        Assert.DoesNotContain("Rank 1", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_last_micro_batch_that_is_dropped_leaves_something()
    {
        string[] settings =
        [
            Lora,
            "data_config.max_train_samples=1",
            "training_args.dataloader_drop_last=true",
            "training_args.packing=false",
        ];
        var error = Assert.Throws<InvalidDataException>(() => tiny.Train(tiny.Recipe("run", null, settings)));
        Assert.Contains("the 1 training rows do not fill a micro-batch of 2", error.Message, StringComparison.Ordinal);
    }

    private void Record(Recipe recipe, string? resume) =>
        RunLogger.Of(
            recipe,
            tiny.Model,
            TinyRun.Data,
            new RunReport().Of(0, null),
            reporter => FineTune.Run(recipe, TinyRun.Data, tiny.Model, resume, reporter, default)
        );
}
