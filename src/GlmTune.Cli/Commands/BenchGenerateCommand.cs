using System.CommandLine;
using System.Globalization;
using GlmTune.Benchmarking;
using GlmTune.Recipes;

namespace GlmTune.Cli.Commands;

/// <summary><c>glmtune bench generate</c>: how fast this machine generates, by default with random weights of the 9B
/// shape.</summary>
internal static class BenchGenerateCommand
{
    public static Command Create(Screen screen)
    {
        var standard = new GenerateBenchmarkOptions();
        var path = new Argument<string?>("PATH")
        {
            Description = "a model's folder or hub id; random weights of the 9B shape unless given",
            Arity = ArgumentArity.ZeroOrOne,
        };
        var batches = NumberOption.Several(
            "--batch",
            "answers side by side; several are measured one after another",
            standard.Batches,
            1,
            words: true
        );
        var prompt = NumberOption.Of("--prompt-tokens", "tokens of each prompt", standard.PromptTokens, 1);
        var answer = NumberOption.Of("--new-tokens", "tokens of each answer", standard.NewTokens, 1);
        var first = NumberOption.Of(
            "--first-token-prompt",
            "tokens of the prompt whose first token is timed; 0 leaves that out",
            standard.FirstTokenPrompt,
            0
        );
        var rank = NumberOption.Of("--lora-rank", "rank of an adapter on query, key and value; 0: none", 0, 0);
        var layers = NumberOption.Optional<int>("--layers", "decoder layers of random weights; all 40 unless given", 1);
        var sample = new Option<bool>("--sample")
        {
            Description = "draw tokens (temperature 0.8, top-p 0.8) instead of taking the likeliest",
        };
        var plain = new Option<bool>("--plain")
        {
            Description = "plain operators only, no fused kernels, nothing recorded",
        };
        var json = Arguments.Json();
        var command = new Command("generate", "Time generation: first token, tokens per second.")
        {
            path,
            batches,
            prompt,
            answer,
            first,
            rank,
            layers,
            sample,
            plain,
            json,
        };
        command.SetAction(given =>
        {
            var result = GenerateBenchmark.Run(
                standard with
                {
                    Model = given.GetValue(path),
                    Batches = given.GetRequiredValue(batches),
                    PromptTokens = given.GetRequiredValue(prompt),
                    NewTokens = given.GetRequiredValue(answer),
                    FirstTokenPrompt = given.GetRequiredValue(first),
                    LoraRank = given.GetRequiredValue(rank),
                    Layers = given.GetValue(layers),
                    Sample = given.GetValue(sample),
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
