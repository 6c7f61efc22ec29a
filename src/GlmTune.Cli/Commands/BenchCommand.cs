using System.CommandLine;
using System.Globalization;
using GlmTune.Recipes;

namespace GlmTune.Cli.Commands;

/// <summary><c>glmtune bench train</c>: how fast this machine trains, on random weights of the 9B shape.</summary>
internal static class BenchCommand
{
    public static Command Create(Screen screen) => new("bench", "Measure speed and memory on random weights.") { Train(screen) };

    private static Command Train(Screen screen)
    {
        var standard = new TrainBenchmarkOptions();
        var rows = Number("--rows", "sequences of a micro-batch", standard.Rows);
        var tokens = Number("--tokens", "tokens of a sequence", standard.Tokens);
        var rank = Number("--lora-rank", "rank on query, key and value; 0 trains all weights", standard.LoraRank);
        var prefix = Number("--virtual-tokens", "a prefix of so many virtual tokens instead of LoRA", 0);
        var layers = new Option<int?>("--layers") { Description = "decoder layers; all 40 unless given" };
        var recompute = new Option<int?>("--recompute") { Description = "layers to recompute; as few as fit unless given" };
        var steps = Number("--steps", "timed steps", standard.Steps);
        var plain = new Option<bool>("--plain") { Description = "plain operators only, no fused kernels" };
        var json = Arguments.Json();
        var command = new Command("train", "Time training steps.") { rows, tokens, rank, prefix, layers, recompute, steps, plain, json };
        command.SetAction(given =>
        {
            var result = TrainBenchmark.Run(standard with
            {
                Rows = given.GetRequiredValue(rows),
                Tokens = given.GetRequiredValue(tokens),
                LoraRank = given.GetRequiredValue(rank),
                VirtualTokens = given.GetRequiredValue(prefix),
                Layers = given.GetValue(layers),
                Recompute = given.GetValue(recompute),
                Steps = given.GetRequiredValue(steps),
                Plain = given.GetValue(plain),
            });
            if (given.GetValue(json))
            {
                screen.Output.WriteLine(JsonText.Of(result));
                return;
            }
            screen.Output.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"{result.Kernels}, {result.RecomputedLayers} layers recomputed: {result.StepSeconds:F4} s a step, {result.TokensPerSecond:F0} tokens/s, "
                + $"{result.Teraflops:F0} TFLOP/s ({100 * result.Teraflops / Math.Max(result.MatmulTeraflops, 1e-9):F1} % of a matmul's {result.MatmulTeraflops:F0}), "
                + $"{result.MemoryMiB:F0} MiB in use, loss {result.Losses[^1]:F4}"));
        });
        return command;
    }

    private static Option<int> Number(string name, string description, int standard)
        => new(name) { Description = description, DefaultValueFactory = _ => standard };
}
