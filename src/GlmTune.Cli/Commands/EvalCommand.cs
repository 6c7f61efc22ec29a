using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using GlmTune.Evaluation;
using GlmTune.Files;
using GlmTune.Recipes;
using GlmTune.Recipes.Chat;
using GlmTune.Recipes.Evaluating;

namespace GlmTune.Cli.Commands;

/// <summary><c>glmtune eval</c>: computes loss, perplexity and answer scores of a fine-tuned model.</summary>
internal static class EvalCommand
{
    public static Command Create(Screen screen)
    {
        var (data, path, config) = (Arguments.DataFolder(), Arguments.Tuned(), Arguments.Config());
        var split = new Option<string>("--split")
        {
            Description = "which of CONFIG's files",
            DefaultValueFactory = _ => "val",
        };
        split.AcceptOnlyFromAmong([.. DataFolder.SplitNames]);
        var output = new Option<string?>("--output")
        {
            HelpName = "FOLDER",
            Description =
                "folder for predictions_SPLIT.jsonl and metrics_SPLIT.json; default: PATH, or the working "
                + "folder for a Hub id",
        };
        var limit = NumberOption.Optional<int>("--limit", "evaluate only the first N rows", 1);
        var (baseModel, device, type) = (
            Arguments.Base(),
            Arguments.Device(),
            Arguments.Type("compute type; default: CONFIG's, or bfloat16 on a GPU and float32 on the CPU")
        );
        var quantization = Arguments.Quantization(
            "load the weights of the layers in fewer bits; default: as CONFIG says"
        );
        var (json, set) = (Arguments.Json(), Arguments.Set());
        var command = new Command(
            "eval",
            "Evaluate a model on a split: loss, perplexity, and ROUGE and BLEU of generated answers."
        )
        {
            data,
            path,
            config,
            split,
            output,
            limit,
            baseModel,
            device,
            type,
            quantization,
            json,
            set,
        };
        command.SetAction(
            (given, stop) =>
            {
                var where = given.GetRequiredValue(path);
                var files = EvaluationFiles.OfSplit(
                    given.GetValue(output) ?? (Directory.Exists(where) ? where : "."),
                    given.GetRequiredValue(split)
                );
                var options = new EvaluateOptions
                {
                    Split = given.GetRequiredValue(split),
                    Limit = given.GetValue(limit),
                    Device = given.GetValue(device),
                    Type = given.GetValue(type),
                    Quantization = given.GetValue(quantization),
                };
                var problems = new ProblemReport();
                var recipe = problems.Try(() =>
                    RecipeFile.Read(given.GetRequiredValue(config), given.GetRequiredValue(set))
                );
                var tuned = problems.Try(() => TunedPath.Resolve(where, given.GetValue(baseModel)));
                if (!problems.IsEmpty)
                {
                    problems.Add(files.FindProblems());
                    problems.Throw();
                }

                var on = ComputeDevice.Named(options.Device);
                (given.GetValue(json) ? TextWriter.Null : screen.Lines).WriteLine(
                    $"on {ComputeDevice.Describe(on, ComputeDevice.TypeNamed(options.Type, on))}; output folder "
                        + $"{Path.GetDirectoryName(files.Metrics)}"
                );
                var clock = new ProgressLine(screen);
                var report = Evaluate.Run(
                    recipe!,
                    given.GetRequiredValue(data),
                    tuned!,
                    files,
                    options,
                    screen.Error.WriteLine,
                    clock.Show,
                    stop
                );
                if (given.GetValue(json))
                {
                    screen.Output.WriteLine(
                        JsonText.Of(
                            report.Metrics.ToDictionary(
                                metric => metric.Key,
                                metric => double.IsFinite(metric.Value) ? metric.Value : (double?)null
                            )
                        )
                    );
                }
                else
                {
                    Write(screen, report, files);
                }

                return Task.FromResult(ExitCode.Done);
            }
        );
        return command;
    }

    private static void Write(Screen screen, EvaluationReport report, EvaluationFiles files)
    {
        foreach (var answer in report.Samples())
        {
            // Only the words before the texts: these are data.
            screen.Lines.WriteLine($"line {answer.Example.Line}, messages[{answer.Example.MessageIndex}]");
            screen.Output.WriteLine($"  {screen.Translated("prediction:")} {OneLine(answer.Prediction)}");
            screen.Output.WriteLine($"  {screen.Translated("label:     ")} {OneLine(answer.Label)}");
        }

        screen.Lines.WriteLine(
            $"{report.Answers.Count} answers of {report.Rows} rows: {files.Predictions}, {files.Metrics}"
        );
        foreach (var (name, value) in report.Metrics)
        {
            screen.Output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{name,-24} {value:F4}"));
        }
    }

    private static string OneLine(string text) => text.ReplaceLineEndings("⏎");

    /// <summary>Progress and time left, on a terminal line that is rewritten in place.</summary>
    private sealed class ProgressLine(Screen screen)
    {
        private readonly Stopwatch clock = new();
        private EvaluationPart? part;

        public void Show(EvaluationProgress progress)
        {
            if (part != progress.Part)
            {
                part = progress.Part;
                clock.Restart();
            }

            if (!screen.IsTerminal)
            {
                return;
            }

            var left = clock.Elapsed * (progress.Total - progress.Done) / progress.Done;
            screen.Error.Write(
                $"\r{(progress.Part == EvaluationPart.Loss ? "loss of rows" : "answers")}: {progress.Done} of "
                    + $"{progress.Total}, {left:h\\:mm\\:ss} left   {(progress.Done == progress.Total ? "\n" : "")}"
            );
        }
    }
}
