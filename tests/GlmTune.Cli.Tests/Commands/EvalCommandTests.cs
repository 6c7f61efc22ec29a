using System.Text.Json;
using GlmTune.Evaluation;
using GlmTune.Evaluation.Metrics;
using GlmTune.Files;
using GlmTune.Recipes;
using GlmTune.Recipes.Reporting;
using GlmTune.Recipes.Training;
using GlmTune.Training;
using GlmTune.Weights;

namespace GlmTune.Cli.Commands;

public sealed class EvalCommandTests
{
    private static readonly string Data = Run.InRepository("data/ads");
    private static readonly string[] Short =
    [
        "--device",
        "cpu",
        "--limit",
        "3",
        "--set",
        "training_args.generation_config.max_new_tokens=6",
    ];
    private static readonly string Config = Run.InRepository("configs/lora-nano.yaml");

    [Fact]
    public async Task Predictions_and_metrics_are_printed_and_kept()
    {
        using var folder = new TemporaryFolder();
        var model = await Model(folder);
        var run = await Run.Of(["eval", Data, model, Config, "--split", "test", "--json", .. Short]);
        Assert.Equal((0, ""), (run.Code, run.Error));
        var metrics = JsonSerializer.Deserialize<Dictionary<string, double>>(run.Lines.Single())!;
        Assert.Equal(
            [
                "eval_loss",
                "eval_perplexity",
                "eval_rouge-1",
                "eval_rouge-2",
                "eval_rouge-l",
                "eval_bleu-4",
                "eval_runtime",
                "eval_samples_per_second",
            ],
            metrics.Keys
        );
        Assert.Equal(
            metrics,
            JsonSerializer.Deserialize<Dictionary<string, double>>(
                File.ReadAllBytes(Path.Combine(model, "metrics_test.json"))
            )
        );
        Assert.Equal(Math.Exp(metrics["eval_loss"]), metrics["eval_perplexity"], 1e-9);

        var predictions = PredictionFile.Read(Path.Combine(model, "predictions_test.jsonl"));
        var answers = File.ReadLines(Path.Combine(Data, "test.jsonl"))
            .Take(3)
            .Select(line =>
                JsonDocument
                    .Parse(line)
                    .RootElement.GetProperty("messages")[1]
                    .GetProperty("content")
                    .GetString()!
                    .Trim()
            );
        Assert.Equal(answers, predictions.Select(row => row.Label));
        Assert.Equal([1, 2, 3], predictions.Select(row => row.Extra["line"].GetInt32()));
        var scores = GenerationScores.Mean(
            GenerationScores.OfEach([.. predictions.Select(row => (row.Prediction, row.Label))])
        );
        Assert.All(scores.ByName, score => Assert.Equal(score.Value, metrics[$"eval_{score.Key}"], 1e-9));

        var text = await Run.Of(["eval", Data, model, Config, "--output", folder.At("out"), .. Short]);
        Assert.Equal(0, text.Code);
        Assert.True(
            File.Exists(folder.At("out/predictions_val.jsonl")) && File.Exists(folder.At("out/metrics_val.json"))
        );
        Assert.Contains(text.Lines, line => line.StartsWith("eval_rouge-l ", StringComparison.Ordinal));
        Assert.Equal(3, text.Lines.Count(line => line.StartsWith("prediction: ", StringComparison.Ordinal)));
    }

    [Theory]
    [InlineData("lora")]
    [InlineData("sft")]
    public async Task What_training_saved_is_evaluated_and_stays_whole(string kind)
    {
        using var folder = new TemporaryFolder();
        var model = await Model(folder);
        var recipe = RecipeFile.Read(
            Run.InRepository($"configs/{kind}-nano.yaml"),
            [
                $"training_args.output_dir={folder.At("out")}",
                "training_args.max_steps=2",
                "training_args.save_steps=2",
                "training_args.eval_strategy=no",
                "training_args.use_cpu=true",
                "training_args.per_device_train_batch_size=1",
                "training_args.warmup_steps=0",
                "data_config.max_train_samples=2",
                "data_config.test_file=null",
            ]
        );
        var trained = FineTune
            .Run(recipe, Data, model, null, new Silent(), TestContext.Current.CancellationToken)
            .Checkpoint!;
        var before = await Loss(model);
        Assert.InRange(await Loss(trained), 0, before - 1e-3);
        FolderManifest.Verify(trained);
        Assert.True(File.Exists(Path.Combine(trained, "predictions_val.jsonl")));

        async Task<double> Loss(string path)
        {
            var run = await Run.Of(["eval", Data, path, Config, "--json", .. Short]);
            Assert.Equal((0, ""), (run.Code, run.Error));
            return JsonDocument.Parse(run.Output).RootElement.GetProperty("eval_loss").GetDouble();
        }
    }

    [Fact]
    public async Task What_is_missing_is_named()
    {
        var model = Run.InRepository("models/glm-nano");
        var unnamed = await Run.Of(
            "eval",
            Data,
            model,
            Config,
            "--split",
            "test",
            "--set",
            "data_config.test_file=null"
        );
        Assert.Equal(2, unnamed.Code);
        Assert.Contains("names no test file", unnamed.Error, StringComparison.Ordinal);
        var gone = await Run.Of("eval", Data, model, Config, "--set", "data_config.val_file=gone.jsonl");
        Assert.Equal(2, gone.Code);
        Assert.Contains("gone.jsonl: file not found", gone.Error, StringComparison.Ordinal);
        Assert.Equal(2, (await Run.Of("eval", Data, model, Config, "--limit", "0")).Code);
    }

    private static async Task<string> Model(TemporaryFolder folder)
    {
        var model = folder.At("model");
        var made = await Run.Of(
            "model",
            "init",
            model,
            "--like",
            Run.InRepository("models/glm-nano"),
            "--dtype",
            "float32",
            "--device",
            "cpu"
        );
        Assert.Equal(0, made.Code);
        return model;
    }

    private sealed class Silent : IFineTuneReporter
    {
        public void Note(string text) { }

        public void Started(FineTuneStart start) { }

        public void Stepped(StepReport report) { }

        public void Logged(long atStep, IReadOnlyDictionary<string, double> values) { }

        public void Evaluated(long atStep, IReadOnlyDictionary<string, double> values) { }

        public void Saved(string folder) { }
    }
}
