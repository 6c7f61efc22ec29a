using System.Globalization;
using System.Text.Json;

namespace GlmTune;

/// <summary>The shipped small model, data and recipes, by command line.</summary>
public sealed class NanoTests : IDisposable
{
    private readonly string output = Directory.CreateTempSubdirectory("glmtune-nano-").FullName;

    private static string Root => Path.GetFullPath(Path.Combine(GoldenData.Path("glm-tiny"), "..", "..", ".."));

    private static string Model => Path.Combine(Root, "models", "glm-nano");

    private static string Data => Path.Combine(Root, "data", "ads");

    public void Dispose() => Directory.Delete(output, recursive: true);

    [Theory, InlineData("lora-nano.yaml"), InlineData("ptuning_v2-nano.yaml")]
    public async Task Adapters_train_from_the_shipped_recipes_and_evaluation_prints_the_four_scores(string recipe)
    {
        var config = Path.Combine(Root, "configs", recipe);
        string[] quick =
        [
            "--set",
            $"training_args.output_dir={output}",
            "--set",
            "training_args.max_steps=20",
            "--set",
            "training_args.logging_steps=10",
            "--set",
            "training_args.eval_strategy=no",
            "--set",
            "training_args.predict_with_generate=false",
            "--set",
            "data_config.max_predict_samples=4",
        ];
        var run = await ProgramRun.Done(["train", Data, Model, config, .. quick]);
        double[] losses =
        [
            .. run
                .Lines.Where(line =>
                    line.StartsWith("step ", StringComparison.Ordinal)
                    && line.Contains("  loss ", StringComparison.Ordinal)
                )
                .Select(line => double.Parse(line.Split("  loss ")[1].Split(' ')[0], CultureInfo.InvariantCulture)),
        ];
        Assert.True(losses.Length == 2 && losses[1] < losses[0] - 0.2, run.Output);

        var checkpoint = Path.Combine(output, "checkpoint-20");
        var scored = await ProgramRun.Done(
            "eval",
            Data,
            checkpoint,
            config,
            "--limit",
            "4",
            "--json",
            "--output",
            output
        );
        Assert.All(
            (string[])["eval_rouge-1", "eval_rouge-2", "eval_rouge-l", "eval_bleu-4"],
            name => Assert.Contains(name, scored.Output, StringComparison.Ordinal)
        );

        const string Tags = "类型#裙*颜色#红色*裙长#长裙";
        var before = await ProgramRun.Done("chat", Model, "--prompt", Tags);
        var after = await ProgramRun.Done("chat", checkpoint, "--prompt", Tags);
        Assert.NotEqual(before.Output, after.Output);
    }

    [Fact]
    public async Task A_merged_model_answers_as_the_adapter_does_in_both_layouts()
    {
        var config = Path.Combine(Root, "configs", "lora-nano.yaml");
        await ProgramRun.Done(
            "train",
            Data,
            Model,
            config,
            "--set",
            $"training_args.output_dir={output}",
            "--set",
            "training_args.max_steps=6",
            "--set",
            "training_args.warmup_steps=0",
            "--set",
            "training_args.eval_strategy=no",
            "--set",
            "training_args.predict_with_generate=false",
            "--set",
            "data_config.max_predict_samples=1"
        );
        var checkpoint = Path.Combine(output, "checkpoint-6");
        var attached = await Logits(checkpoint, "attached");
        foreach (var layout in (string[])["original", "hf"])
        {
            var merged = Path.Combine(output, layout);
            await ProgramRun.Done("merge", checkpoint, merged, "--layout", layout, "--dtype", "float32");
            var actual = await Logits(merged, layout);
            Assert.Equal(attached.Length, actual.Length);
            Assert.All(attached.Zip(actual), pair => Assert.Equal(pair.First, pair.Second, 1e-3f));
            Assert.True(File.Exists(Path.Combine(merged, layout == "hf" ? "tokenizer.json" : "tokenizer.model")));
        }
    }

    private async Task<float[]> Logits(string path, string name)
    {
        var batch = Path.Combine(output, "batch.json");
        await File.WriteAllTextAsync(
            batch,
            JsonSerializer.Serialize(new { input_ids = new[] { new[] { 2033, 2034, 10, 300, 400, 500 } } })
        );
        var file = Path.Combine(output, $"{name}.safetensors");
        await ProgramRun.Done("forward", path, "--input", batch, "--output", file);
        using var stored = Weights.SafetensorsFile.Open(file);
        var logits = new float[stored["logits"].Shape.Aggregate(1L, (product, size) => product * size)];
        stored["logits"].CopyTo(System.Runtime.InteropServices.MemoryMarshal.AsBytes(logits.AsSpan()));
        return logits;
    }
}
