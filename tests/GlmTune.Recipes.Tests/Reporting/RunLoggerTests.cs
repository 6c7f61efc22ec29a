using System.Text.Json.Nodes;
using GlmTune.Model.Adapters;
using GlmTune.Recipes.Configuration;
using GlmTune.Recipes.Reporting;
using GlmTune.Runs;
using GlmTune.Training;

namespace GlmTune.Recipes.Tests;

/// <summary>What a run leaves for the training page, TensorBoard and the eye.</summary>
public sealed class RunLoggerTests : IDisposable
{
    private static readonly FineTuneResult Done = new(3, 2, TimeSpan.FromSeconds(1), null, Stopped: false);
    private readonly string root = Directory.CreateTempSubdirectory("glmtune-recording-").FullName;
    private readonly Notes heard = new();

    [Fact]
    public void A_run_records_its_command_and_the_keys_that_its_recipe_sets_as_written()
    {
        RunLogger.Of(Recipe("learning_rate: 5e-4"), "m", "d", heard, Three, ["train", "d", "m", "recipe.yaml"]);
        var description = RunDescription.ReadOrNull(root)!;
        Assert.Equal(["train", "d", "m", "recipe.yaml"], description.Command);
        Assert.Equal("5e-4", description.Settings["training_args.learning_rate"]);
        Assert.Equal("LORA", description.Settings["peft_config.peft_type"]);
        Assert.DoesNotContain("training_args", description.Settings.Keys);
        Assert.DoesNotContain("training_args.seed", description.Settings.Keys);
    }

    [Fact]
    public void A_run_leaves_its_recipe_its_log_events_and_plots()
    {
        RunLogger.Of(Recipe(), "models/glm-nano", "data/ads", heard, Three);
        var description = RunDescription.ReadOrNull(root)!;
        Assert.Equal("models/glm-nano", description.Model);
        Assert.Equal(5e-5, (double)description.Recipe["optimizer"]!["learning_rate"]!);
        Assert.Equal("query_key_value", (string?)description.Recipe["lora"]!["target_modules"]);
        Assert.Equal("linear", (string?)description.Recipe["schedule"]!["kind"]);
        Assert.NotEmpty(description.Versions["torch"]);
        var run = Assert.Single(RunFolder.Find(root));
        Assert.Equal(
            ["start", "note", "step", "step", "evaluation", "step", "end"],
            run.ReadLog(0).Lines.Select(line => line.GetProperty("event").GetString())
        );
        Assert.Equal(
            (RunState.Finished, 3L, 3L),
            (run.ReadStatus().State, run.ReadStatus().Step, run.ReadStatus().TotalSteps)
        );
        Assert.Equal(
            ["gradient_norm.png", "learning_rate.png", "loss.png", "memory.png", "tokens_per_second.png"],
            Directory.GetFiles(Path.Combine(root, "plots")).Select(Path.GetFileName).Order(StringComparer.Ordinal)
        );
        Assert.Single(
            Directory.GetFiles(Path.Combine(root, "runs"), "events.out.tfevents.*", SearchOption.AllDirectories)
        );
        Assert.Equal(["early"], heard.Texts);
    }

    [Fact]
    public void Report_to_none_leaves_out_the_event_files_and_logging_dir_says_where_they_are()
    {
        RunLogger.Of(Recipe("report_to: none"), "m", "d", heard, Three);
        Assert.False(Directory.Exists(Path.Combine(root, "runs")));
        var elsewhere = Path.Combine(root, "board");
        RunLogger.Of(Recipe($"report_to: [tensorboard]\n  logging_dir: {elsewhere}"), "m", "d", heard, Three);
        Assert.Single(Directory.GetFiles(elsewhere));
    }

    [Theory]
    [
        InlineData("report_to: wandb", false, 1),
        InlineData("report_to: [wandb, TensorBoard]", true, 1),
        InlineData("report_to: all", true, 0)
    ]
    public void Services_that_nothing_is_reported_to_are_named(string key, bool tensorBoard, int notes)
    {
        var recipe = Recipe(key);
        Assert.Equal(tensorBoard, recipe.Training.TensorBoard);
        Assert.Equal(notes, recipe.Notes.Count(note => note.Contains("'wandb'", StringComparison.Ordinal)));
    }

    [Fact]
    public void A_run_that_fails_says_of_what()
    {
        Assert.Throws<InvalidOperationException>(() =>
            RunLogger.Of(
                Recipe(),
                "m",
                "d",
                heard,
                reporter =>
                {
                    Three(reporter);
                    throw new InvalidOperationException("the disk fell out");
                }
            )
        );
        var standing = Assert.Single(RunFolder.Find(root)).ReadStatus();
        Assert.Equal((RunState.Failed, "the disk fell out"), (standing.State, standing.Error));
    }

    [Fact]
    public void What_memory_holds_is_logged_with_each_step()
    {
        RunLogger.Of(
            Recipe(),
            "m",
            "d",
            heard,
            reporter =>
            {
                var result = Three(reporter);
                reporter.Stepped(
                    new StepReport(4, 1, 1, 1e-3, 1, 10, 5, 1, TimeSpan.FromSeconds(1))
                    {
                        Memory = new MemoryUse(3L << 30, 1L << 30, 0, 1L << 29, 0),
                        Flops = 1e9,
                    }
                );
                return result;
            }
        );
        var step = Assert
            .Single(RunFolder.Find(root))
            .ReadLog(0)
            .Lines.Last(line => line.TryGetProperty("loss", out _));
        Assert.Equal(3, step.GetProperty("memory_weights_gib").GetDouble());
        Assert.Equal(0.5, step.GetProperty("memory_optimizer_gib").GetDouble());
        Assert.True(step.GetProperty("memory_gib").GetDouble() <= step.GetProperty("peak_memory_gib").GetDouble());
        Assert.True(File.Exists(Path.Combine(root, "plots", "memory_parts.png")));
        // There is nothing to compare with on a CPU.
        Assert.False(step.TryGetProperty("matmul_share", out _));
    }

    [Fact]
    public void A_run_that_never_begins_leaves_nothing()
    {
        Assert.Throws<InvalidDataException>(() =>
            RunLogger.Of(Recipe(), "m", "d", heard, _ => throw new InvalidDataException("no such file"))
        );
        Assert.Empty(Directory.GetFileSystemEntries(root, "*.json*"));
    }

    [Fact]
    public void A_run_goes_on_where_its_log_cannot_be_written()
    {
        Directory.CreateDirectory(Path.Combine(root, RunLog.FileName));
        Assert.Equal(Done, RunLogger.Of(Recipe(), "m", "d", heard, Three));
        Assert.Contains(heard.Texts, text => text.Contains("no longer logged", StringComparison.Ordinal));
        Assert.Equal(3, heard.Steps);
    }

    public void Dispose() => Directory.Delete(root, recursive: true);

    private static FineTuneResult Three(IFineTuneReporter reporter)
    {
        reporter.Note("early");
        reporter.Started(new FineTuneStart(10, 3, 0, 2, 1, 1, 100, 1000, "cpu", "Float32"));
        for (var step = 1; step <= 3; step++)
        {
            var report = new StepReport(step, 3.0 / step, 1, 1e-4, step / 3.0, 100, 50, 2, TimeSpan.FromSeconds(0.5));
            reporter.Stepped(report);
            reporter.Logged(
                step,
                new Dictionary<string, double>
                {
                    ["loss"] = report.Loss,
                    ["grad_norm"] = 1,
                    ["learning_rate"] = 1e-4,
                }
            );
            if (step == 2)
            {
                reporter.Evaluated(step, new Dictionary<string, double> { ["eval_loss"] = 1.5 });
            }
        }

        return Done;
    }

    private Recipe Recipe(string argument = "seed: 1") =>
        RecipeFile.Read(
            new StringReader(
                $$"""
                data_config: { train_file: train.jsonl }
                max_input_length: 8
                max_output_length: 8
                training_args:
                  output_dir: {{root}}
                  {{argument}}
                peft_config: { peft_type: LORA, r: 4, target_modules: [query_key_value] }
                """
            ),
            "test.yaml"
        );

    private sealed class Notes : IFineTuneReporter
    {
        public List<string> Texts { get; } = [];

        public int Steps { get; private set; }

        public void Note(string text) => Texts.Add(text);

        public void Started(FineTuneStart start) { }

        public void Stepped(StepReport report) => Steps++;

        public void Logged(long atStep, IReadOnlyDictionary<string, double> values) { }

        public void Evaluated(long atStep, IReadOnlyDictionary<string, double> values) { }

        public void Saved(string folder) { }
    }
}
