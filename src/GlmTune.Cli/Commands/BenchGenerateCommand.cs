using System.CommandLine;
using System.Globalization;
using GlmTune.Benchmarking;
using GlmTune.Model.Adapters;
using GlmTune.Recipes.Models;

namespace GlmTune.Cli.Commands;

/// <summary><c>glmtune bench generate</c>: measures generation, by default on random weights with the shapes of the 9B
/// model.</summary>
internal static class BenchGenerateCommand
{
    public static Command Create(Screen screen)
    {
        var standard = new GenerateBenchmarkOptions();
        var path = new Argument<string?>("PATH")
        {
            Description = "model folder or Hub id; default: random weights with the shapes of --like",
            Arity = ArgumentArity.ZeroOrOne,
        };
        var like = Arguments.Like();
        var batches = NumberOption.Several(
            "--batch",
            "batch sizes to measure, one after another",
            standard.Batches,
            1,
            words: true
        );
        var prompt = NumberOption.Of("--prompt-tokens", "tokens per prompt", standard.PromptTokens, 1);
        var answer = NumberOption.Of("--new-tokens", "tokens per answer", standard.NewTokens, 1);
        var first = NumberOption.Of(
            "--first-token-prompt",
            "length of the prompt whose first token is timed; 0 skips this",
            standard.FirstTokenPrompt,
            0
        );
        var rank = NumberOption.Of("--lora-rank", "LoRA rank on the --lora-targets; 0: no adapter", 0, 0);
        var adapters = NumberOption.Of(
            "--adapters",
            "number of such adapters, which the rows of a batch use in turn; 0: one for all rows",
            0,
            0
        );
        var targets = new Option<string>("--lora-targets")
        {
            Description = "modules that LoRA adapts: qkv (query, key and value) or all-linear",
            DefaultValueFactory = _ => "qkv",
        };
        targets.AcceptOnlyFromAmong("qkv", "all-linear");
        var layers = NumberOption.Optional<int>("--layers", "decoder layers of random weights; default: all", 1);
        var sample = new Option<bool>("--sample")
        {
            Description = "sample (temperature 0.8, top-p 0.8) instead of greedy decoding",
        };
        var quantization = Arguments.Quantization("store the weights of the layers in fewer bits");
        var plain = new Option<bool>("--plain")
        {
            Description = "use plain operators only, no fused kernels and no CUDA graphs",
        };
        var json = Arguments.Json();
        var command = new Command("generate", "Time generation: first token, tokens per second.")
        {
            path,
            like,
            batches,
            prompt,
            answer,
            first,
            rank,
            adapters,
            targets,
            layers,
            sample,
            quantization,
            plain,
            json,
        };
        command.Validators.Add(given =>
        {
            if (given.GetValue(adapters) > 0 && given.GetValue(rank) == 0)
            {
                given.AddError("--adapters requires --lora-rank.");
            }
        });
        command.SetAction(given =>
        {
            var result = GenerateBenchmark.Run(
                standard with
                {
                    Model = given.GetValue(path),
                    Config = InitializeModel.Shape(given.GetRequiredValue(like)),
                    Batches = given.GetRequiredValue(batches),
                    PromptTokens = given.GetRequiredValue(prompt),
                    NewTokens = given.GetRequiredValue(answer),
                    FirstTokenPrompt = given.GetRequiredValue(first),
                    LoraRank = given.GetRequiredValue(rank),
                    Adapters = given.GetRequiredValue(adapters),
                    LoraTargets = given.GetValue(targets) == "all-linear" ? LoraTargets.AllLinear : null,
                    Layers = given.GetValue(layers),
                    Sample = given.GetValue(sample),
                    Quantization = given.GetValue(quantization),
                    Plain = given.GetValue(plain),
                }
            );
            if (given.GetValue(json))
            {
                screen.Output.WriteLine(JsonText.Of(result));
                return;
            }

            screen.Output.WriteLine($"{result.Kernels}, {result.Type}");
            if (result.FirstTokenSeconds is { } seconds)
            {
                screen.Output.WriteLine(
                    string.Create(
                        CultureInfo.InvariantCulture,
                        $"first token of a prompt of {result.FirstTokenPrompt} tokens: {1000 * seconds:F1} ms"
                    )
                );
            }

            screen.Output.WriteLine("batch  prompt    new  first token ms  step ms  tokens/s   GB/s  MiB in use");
            foreach (var found in result.Cases)
            {
                screen.Output.WriteLine(
                    string.Create(
                        CultureInfo.InvariantCulture,
                        $"{found.Batch,5}  {found.PromptTokens,6}  {found.NewTokens,5}  "
                            + $"{1000 * found.FirstTokenSeconds,14:F1}  {1000 * found.StepSeconds,7:F2}  "
                            + $"{found.TokensPerSecond,8:F0}  {found.ReadGigabytesPerSecond,5:F0}  "
                            + $"{found.MemoryMiB,10:F0}"
                    )
                );
            }
        });
        return command;
    }
}
