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
        var lengths = new Option<BenchmarkLengths>("--lengths") { Description = "how long rows are: equal, or as those of a data set, packed into rows × tokens" };
        var unpacked = new Option<bool>("--no-packing") { Description = "with --lengths: so many rows to a micro-batch, padded" };
        var noGraphs = new Option<bool>("--no-graphs") { Description = "launch small steps kernel by kernel" };
        var distinct = Number("--distinct", "different steps, which come again and again; 0: all are new", 0);
        var against = new Option<bool>("--against-plain") { Description = "run the same steps with plain operators too, and compare the losses" };
        var losses = new Option<bool>("--losses") { Description = "print the loss of each step" };
        var json = Arguments.Json();
        var command = new Command("train", "Time training steps.")
        {
            rows, tokens, rank, prefix, layers, recompute, steps, plain, lengths, unpacked, noGraphs, distinct, against, losses, json,
        };
        command.SetAction(given =>
        {
            var options = standard with
            {
                Rows = given.GetRequiredValue(rows),
                Tokens = given.GetRequiredValue(tokens),
                LoraRank = given.GetRequiredValue(rank),
                VirtualTokens = given.GetRequiredValue(prefix),
                Layers = given.GetValue(layers),
                Recompute = given.GetValue(recompute),
                Steps = given.GetRequiredValue(steps),
                Plain = given.GetValue(plain),
                Lengths = given.GetValue(lengths),
                Packing = !given.GetValue(unpacked),
                Graphs = !given.GetValue(noGraphs),
                DistinctSteps = given.GetRequiredValue(distinct),
            };
            if (given.GetValue(against))
            {
                var (first, second, difference) = TrainBenchmark.Compare(options, options with { Plain = true });
                if (given.GetValue(json))
                {
                    screen.Output.WriteLine(JsonText.Of(new { First = first, Second = second, LargestDifference = difference }));
                    return;
                }
                Print(screen, first, given.GetValue(losses));
                Print(screen, second, given.GetValue(losses));
                screen.Output.WriteLine(string.Create(CultureInfo.InvariantCulture,
                    $"{first.Losses.Count} steps from {first.Losses[0]:F4} to {first.Losses[^1]:F4}; the losses of a step differ by {difference:F4} at most"));
                return;
            }
            var result = TrainBenchmark.Run(options);
            if (given.GetValue(json))
            {
                screen.Output.WriteLine(JsonText.Of(result));
                return;
            }
            Print(screen, result, given.GetValue(losses));
        });
        return command;
    }

    private static void Print(Screen screen, TrainBenchmarkResult result, bool losses)
    {
        void Line(string name, FormattableString value) => screen.Output.WriteLine($"{name,-26}{value.ToString(CultureInfo.InvariantCulture)}");
        Line("kernels", $"{result.Kernels}, {result.RecomputedLayers} layers recomputed, {result.Graphs} graphs");
        if (result.GraphRefusal is { } reason)
        {
            Line("not recorded", $"{reason}");
        }
        Line("step", $"{result.StepSeconds:F4} s");
        Line("tokens/s", $"{result.TokensPerSecond:F0}");
        Line("supervised tokens/s", $"{result.SupervisedTokensPerSecond:F0}");
        Line("samples/s", $"{result.SamplesPerSecond:F2}");
        Line("packing efficiency", $"{100 * result.PackingEfficiency:F1} %");
        Line("TFLOP/s", $"{result.Teraflops:F0}, {100 * result.Teraflops / Math.Max(result.MatmulTeraflops, 1e-9):F1} % of a matmul's {result.MatmulTeraflops:F0}");
        Line("memory in use, at most", $"{result.MemoryMiB:F0} MiB");
        Line("last loss", $"{result.Losses[^1]:F4}");
        if (losses)
        {
            screen.Output.WriteLine(string.Join(' ', result.Losses.Select(loss => loss.ToString("F4", CultureInfo.InvariantCulture))));
        }
    }

    private static Option<int> Number(string name, string description, int standard)
        => new(name) { Description = description, DefaultValueFactory = _ => standard };
}
