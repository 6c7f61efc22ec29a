using System.CommandLine;
using System.Globalization;
using GlmTune.Benchmarking;
using GlmTune.Collectives;
using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Native;
using GlmTune.Model.Adapters;
using GlmTune.Recipes.Models;

namespace GlmTune.Cli.Commands;

/// <summary><c>glmtune bench</c>: measures training, generation, loading and collectives, on random weights with the
/// shapes of the 9B model.</summary>
internal static class BenchCommand
{
    public static Command Create(Screen screen) =>
        new("bench", "Measure speed and memory on random weights.")
        {
            Train(screen),
            BenchGenerateCommand.Create(screen),
            BenchLoadCommand.Create(screen),
            Collectives(screen),
        };

    private static Command Train(Screen screen)
    {
        var standard = new TrainBenchmarkOptions();
        var like = Arguments.Like();
        var rows = NumberOption.Of("--rows", "sequences per micro-batch", standard.Rows, 1);
        var tokens = NumberOption.Of("--tokens", "tokens per sequence", standard.Tokens, 2);
        var rank = NumberOption.Of(
            "--lora-rank",
            "LoRA rank on the --lora-targets; 0 trains all weights",
            standard.LoraRank,
            0
        );
        var targets = new Option<string>("--lora-targets")
        {
            Description = "modules that LoRA adapts: qkv (query, key and value) or all-linear",
            DefaultValueFactory = _ => "qkv",
        };
        targets.AcceptOnlyFromAmong("qkv", "all-linear");
        var dropout = NumberOption.Of("--dropout", "dropout of LoRA's input", standard.Dropout, 0.0, 0.99);
        var prefix = NumberOption.Of("--virtual-tokens", "train a prefix of N virtual tokens instead of LoRA", 0, 0);
        var layers = NumberOption.Optional<int>("--layers", "decoder layers; default: all", 1);
        var recompute = NumberOption.Optional<int>(
            "--recompute",
            "layers to recompute; default: as few as necessary",
            0
        );
        var cheap = NumberOption.Optional<int>(
            "--recompute-cheap",
            "additional layers that recompute only norms and SwiGLU",
            0
        );
        var fp8 = new Option<bool>("--fp8") { Description = "quantize the frozen weights of the layers to fp8" };
        var quantization = Arguments.Quantization("store the frozen weights of the layers so");
        var hostEmbedding = new Option<bool>("--offload-embedding")
        {
            Description = "keep the embedding table in host memory",
        };
        var hostInputs = new Option<bool>("--offload-activations")
        {
            Description = "recompute every layer, and keep their inputs in host memory",
        };
        var headRows = NumberOption.Optional<int>("--head-rows", "tokens whose logits are computed at a time", 1);
        var profile = new Option<bool>("--profile") { Description = "list the GPU kernels of one additional step" };
        var steps = NumberOption.Of("--steps", "timed steps", standard.Steps, 1);
        var plain = new Option<bool>("--plain") { Description = "use plain operators only, no fused kernels" };
        var lengths = new Option<string>("--lengths")
        {
            Description = "row lengths: equal, or those of a dataset, packed into rows × tokens",
            DefaultValueFactory = _ => "equal",
        };
        lengths.AcceptOnlyFromAmong("equal", "advertisegen");
        var unpacked = new Option<bool>("--no-packing")
        {
            Description = "with --lengths: N rows per micro-batch, padded",
        };
        var noGraphs = new Option<bool>("--no-graphs")
        {
            Description = "launch small steps kernel by kernel, without CUDA graphs",
        };
        var distinct = NumberOption.Of(
            "--distinct",
            "number of different steps, which then repeat; 0: all steps differ",
            0,
            0
        );
        var against = new Option<bool>("--against-plain")
        {
            Description = "also run the same steps with plain operators and compare the losses",
        };
        var againstFp8 = new Option<bool>("--against-fp8")
        {
            Description = "also run the same steps with frozen weights in fp8 and compare the losses",
        };
        var losses = new Option<bool>("--losses") { Description = "print the loss of each step" };
        var accumulate = NumberOption.Of(
            "--accumulate",
            "micro-batches per step on each rank",
            standard.AccumulationSteps,
            1
        );
        var warmup = NumberOption.Of("--warmup", "warm-up steps before timing", standard.Warmup, 0);
        var zero = NumberOption.Optional<int>(
            "--zero",
            "ZeRO stage, 0 to 3, with communication even on one rank; without it, one rank does not communicate",
            0,
            3
        );
        var state = new BenchStateOptions();
        var processes = RankProcess.Count();
        var json = Arguments.Json();
        var command = new Command("train", "Time training steps.")
        {
            like,
            rows,
            tokens,
            rank,
            targets,
            dropout,
            prefix,
            layers,
            recompute,
            cheap,
            fp8,
            quantization,
            hostEmbedding,
            hostInputs,
            headRows,
            steps,
            profile,
            plain,
            lengths,
            unpacked,
            noGraphs,
            distinct,
            against,
            againstFp8,
            losses,
            accumulate,
            warmup,
            zero,
            processes,
            json,
        };
        state.AddTo(command, accumulate, rank, processes);
        command.SetAction(given =>
        {
            var options = standard with
            {
                Config = InitializeModel.Shape(given.GetRequiredValue(like)),
                Rows = given.GetRequiredValue(rows),
                Tokens = given.GetRequiredValue(tokens),
                LoraRank = given.GetRequiredValue(rank),
                LoraTargets = given.GetValue(targets) == "all-linear" ? LoraTargets.AllLinear : null,
                Dropout = given.GetRequiredValue(dropout),
                VirtualTokens = given.GetRequiredValue(prefix),
                Layers = given.GetValue(layers),
                Recompute = given.GetValue(recompute),
                RecomputeSelectively = given.GetValue(cheap),
                Frozen = given.GetValue(fp8) ? FrozenType.Fp8 : QuantizationNames.Of(given.GetValue(quantization)),
                EmbeddingOnHost = given.GetValue(hostEmbedding),
                InputsOnHost = given.GetValue(hostInputs),
                HeadRows = given.GetValue(headRows),
                Profile = given.GetValue(profile),
                Steps = given.GetRequiredValue(steps),
                Plain = given.GetValue(plain),
                Lengths =
                    given.GetValue(lengths) == "advertisegen" ? BenchmarkLengths.AdvertiseGen : BenchmarkLengths.Equal,
                Packing = !given.GetValue(unpacked),
                Graphs = !given.GetValue(noGraphs),
                DistinctSteps = given.GetRequiredValue(distinct),
                AccumulationSteps = given.GetRequiredValue(accumulate),
                Warmup = given.GetRequiredValue(warmup),
                Sharding = state.Sharding(given, given.GetValue(zero) ?? 0),
            };
            if (given.GetValue(against) || given.GetValue(againstFp8))
            {
                var (first, second, difference) = TrainBenchmark.Compare(
                    options,
                    given.GetValue(againstFp8)
                        ? options with
                        {
                            Frozen = FrozenType.Fp8,
                        }
                        : options with
                        {
                            Plain = true,
                        }
                );
                if (given.GetValue(json))
                {
                    screen.Output.WriteLine(
                        JsonText.Of(
                            new
                            {
                                First = first,
                                Second = second,
                                LargestDifference = difference,
                            }
                        )
                    );
                    return ExitCode.Done;
                }

                Print(screen, first, given.GetValue(losses));
                Print(screen, second, given.GetValue(losses));
                screen.Output.WriteLine(
                    string.Create(
                        CultureInfo.InvariantCulture,
                        $"{first.Losses.Count} steps from {first.Losses[0]:F4} to {first.Losses[^1]:F4}; "
                            + $"max difference between the losses of a step: {difference:F4}"
                    )
                );
                return ExitCode.Done;
            }

            return OnRanks(
                given,
                processes,
                always: given.GetValue(zero) is not null,
                screen,
                ranks =>
                {
                    var result = TrainBenchmark.Run(options, ranks);
                    if (ranks is not (null or { Rank: 0 }))
                    {
                        return;
                    }

                    if (given.GetValue(json))
                    {
                        screen.Output.WriteLine(JsonText.Of(result));
                        return;
                    }

                    Print(screen, result, given.GetValue(losses));
                }
            );
        });
        return command;
    }

    private static Command Collectives(Screen screen)
    {
        var smallest = NumberOption.Of("--from", "smallest message in bytes, at least 2 per rank", 1L << 20, 2);
        var largest = NumberOption.Of(
            "--to",
            "largest message in bytes; each message is 4 times the previous one",
            1L << 30,
            2
        );
        var rounds = NumberOption.Of("--rounds", "timed calls per size", 20, 1);
        var processes = RankProcess.Count();
        var json = Arguments.Json();
        var command = new Command(
            "collectives",
            "Time all-reduce, all-gather and reduce-scatter between the ranks (bfloat16)."
        )
        {
            smallest,
            largest,
            rounds,
            processes,
            json,
        };
        command.SetAction(given =>
            OnRanks(
                given,
                processes,
                always: true,
                screen,
                ranks =>
                {
                    var results = CollectivesBenchmark.Run(
                        ranks!,
                        given.GetRequiredValue(smallest),
                        given.GetRequiredValue(largest),
                        given.GetRequiredValue(rounds)
                    );
                    if (ranks!.Rank != 0)
                    {
                        return;
                    }

                    if (given.GetValue(json))
                    {
                        screen.Output.WriteLine(JsonText.Of(results));
                        return;
                    }

                    foreach (var result in results)
                    {
                        screen.Output.WriteLine(
                            string.Create(
                                CultureInfo.InvariantCulture,
                                $"{result.Operation,-14} {result.Bytes,12} bytes on {ranks.WorldSize} "
                                    + $"ranks: {result.Seconds * 1e6,10:F1} us, {result.AlgorithmBandwidth,8:F2} "
                                    + $"GB/s, bus {result.BusBandwidth,8:F2} GB/s"
                            )
                        );
                    }
                }
            )
        );
        return command;
    }

    // The ranks started by a launcher or by this process; a single rank without a launcher.
    private static int OnRanks(
        ParseResult given,
        Option<int?> processes,
        bool always,
        Screen screen,
        Action<ICollectives?> run
    )
    {
        if (given.GetValue(processes) is { } count)
        {
            return RankProcess.StartAll(count, given, processes, NativeRuntime.DefaultDevice(), screen);
        }

        return RankProcess.Run(
            NativeRuntime.DefaultDevice,
            screen,
            ranks =>
            {
                run(always || ranks.WorldSize > 1 ? ranks : null);
                return ExitCode.Done;
            },
            sendsAlone: always
        );
    }

    private static void Print(Screen screen, TrainBenchmarkResult result, bool losses)
    {
        void Line(string name, FormattableString value) =>
            screen.Output.WriteLine($"{name,-26}{value.ToString(CultureInfo.InvariantCulture)}");
        Line("kernels", $"{result.Kernels}, {result.Recomputed.Describe()}, {result.Graphs} graphs");
        if (result.GraphRefusal is { } reason)
        {
            Line("not captured", $"{reason}");
        }

        foreach (var fallback in result.Fallbacks)
        {
            Line("not used", $"{fallback}");
        }

        Line("step", $"{result.StepSeconds:F4} s");
        Line("tokens/s", $"{result.TokensPerSecond:F0}");
        Line("supervised tokens/s", $"{result.SupervisedTokensPerSecond:F0}");
        Line("samples/s", $"{result.SamplesPerSecond:F2}");
        Line("packing efficiency", $"{100 * result.PackingEfficiency:F1} %");
        var share =
            result.MatmulTeraflops > 0
                ? $", {100 * result.Teraflops / result.MatmulTeraflops:F1} % of a matmul's {result.MatmulTeraflops:F0}"
                : ""; // Measured on GPUs only.
        Line("TFLOP/s", $"{(result.Teraflops < 10 ? $"{result.Teraflops:G2}" : $"{result.Teraflops:F0}")}{share}");
        var (before, weights) = (result.ContextMiB, result.WeightsMiB);
        Line(
            "peak memory in use",
            $"{result.MemoryMiB:F0} MiB; {before:F0} before the model, {weights:F0} with its weights"
        );
        if (result.Memory is { } held)
        {
            const double Mebibyte = 1 << 20;
            Line(
                "of which, in MiB",
                $"weights {held.Weights / Mebibyte:F0}, adapter {held.Adapter / Mebibyte:F0}"
            );
            Line("", $"gradients {held.Gradients / Mebibyte:F0}, optimizer state {held.Optimizer / Mebibyte:F0}");
            Line("", $"activations {held.Activations / Mebibyte:F0}");
        }

        foreach (var time in result.Profile ?? [])
        {
            Line($"{time.Microseconds,10:F0} µs {time.Count,6} ×", $"{time.Name}");
        }

        if (result.Sharding is { } sharing)
        {
            Line("ranks", $"{result.Ranks}, ZeRO-{sharing.Stage}, {sharing.Parameters} parameters");
            Line("model FLOP utilisation", $"{100 * sharing.ModelFlopsUtilisation:F1} % of 989 TFLOP/s");
            var (sent, seconds) = (sharing.BytesSentPerStep / 1e9, sharing.CommunicationSeconds);
            var overlap = 100 * sharing.Overlap;
            Line(
                "sent per step and rank",
                $"{sent:F3} GB in {seconds:F4} s, {overlap:F0} % overlapped with computation"
            );
            Line("update on the host", $"{sharing.HostUpdateSeconds:F3} s");
            Line("last gradient norm", $"{sharing.GradientNorm:F4}");
        }

        Line("last loss", $"{result.Losses[^1]:F4}");
        if (losses)
        {
            screen.Output.WriteLine(
                string.Join(' ', result.Losses.Select(loss => loss.ToString("F4", CultureInfo.InvariantCulture)))
            );
        }
    }
}
