using System.CommandLine;
using System.Globalization;
using GlmTune.Collectives;
using GlmTune.Recipes.Reporting;
using GlmTune.Recipes.Training;
using OpenTelemetry.Metrics;

namespace GlmTune.Cli.Commands;

/// <summary><c>glmtune train</c>: fine-tuning, with the arguments of the GLM-4 demo in the same order.</summary>
internal static class TrainCommand
{
    public static Command Create(Screen screen)
    {
        var (data, model, config) = (Arguments.DataFolder(), Arguments.Model(), Arguments.Config());
        var resume = new Argument<string?>("RESUME")
        {
            Arity = ArgumentArity.ZeroOrOne,
            Description =
                "checkpoint to resume from: yes (the newest in the output folder), no (start from "
                + "scratch), 600, checkpoint-600, or a checkpoint folder",
        };
        var (set, processes) = (Arguments.Set(), RankProcess.Count());
        var (time, stall) = (TimeLimit.Create(), StallOption.Create());
        var fit = new Option<bool>("--fit")
        {
            Description = "change settings so that the run fits the GPU, and say which (training_args.fit: true)",
        };
        var command = new Command(
            "train",
            "Fine-tune a model with a recipe. Ctrl-C saves a checkpoint and ends the run; a second Ctrl-C ends it at "
                + "once."
        )
        {
            data,
            model,
            config,
            resume,
            set,
            fit,
            processes,
            time,
            stall,
        };
        var otlp = new OtlpOption();
        otlp.AddTo(command);
        command.SetAction(
            (given, stop) =>
            {
                if (
                    RankProcess.Read(() =>
                        RunFiles.ReadRecipe(
                            given.GetRequiredValue(config),
                            given.GetValue(fit)
                                ? [.. given.GetRequiredValue(set), "training_args.fit=true"]
                                : given.GetRequiredValue(set),
                            given.GetRequiredValue(data),
                            given.GetRequiredValue(model)
                        )
                    )
                    is not { } recipe
                )
                {
                    return Task.FromResult(ExitCode.Users);
                }

                int Train(ICollectives ranks)
                {
                    var limited = CancellationTokenSource.CreateLinkedTokenSource(stop);
                    using var timer = TimeLimit.Apply(
                        given.GetValue(time),
                        limited,
                        text => (ranks.Rank == 0 ? screen.Error : TextWriter.Null).WriteLine($"note: {text}")
                    );
                    using var watch = StallOption.Watch(
                        given.GetValue(stall) ?? recipe.Training.StallTimeout,
                        ranks,
                        screen.Error
                    );
                    FineTuneResult Run(IFineTuneReporter view) =>
                        RunLogger.Of(
                            recipe,
                            given.GetRequiredValue(model),
                            given.GetRequiredValue(data),
                            view,
                            reporter =>
                                FineTune.Run(
                                    recipe,
                                    given.GetRequiredValue(data),
                                    given.GetRequiredValue(model),
                                    given.GetValue(resume),
                                    reporter,
                                    limited.Token,
                                    ranks
                                ),
                            [
                                "train",
                                given.GetRequiredValue(data),
                                given.GetRequiredValue(model),
                                given.GetRequiredValue(config),
                                .. given.GetRequiredValue(set).SelectMany(setting => (string[])["--set", setting]),
                                .. given.GetValue(fit) ? (string[])["--fit"] : [],
                            ]
                        );
                    // Open MPI gives every rank its own terminal, which is not the user's.
                    var isFirst = ranks.Rank == 0;
                    using var sending = isFirst ? otlp.Start(given, screen, MetricsReporter.MeterName) : null;
                    FineTuneResult Measured(IFineTuneReporter view)
                    {
                        using var metrics = new MetricsReporter(view);
                        var result = Run(metrics);
                        sending?.ForceFlush(OtlpOption.FlushMilliseconds); // While the instruments exist.
                        return result;
                    }

                    var result =
                        screen.IsTerminal && ranks.WorldSize == 1
                            ? TrainingBar.Show(screen, Measured)
                            : Measured(new RunLines(screen.Lines.WriteLine, screen.Error.WriteLine));
                    return Finish(isFirst ? screen.Lines : TextWriter.Null, result, recipe.Training.OutputFolder);
                }

                // Training blocks, so it gets its own thread, and the one that receives signals stays free.
                return Task.Run(() =>
                    given.GetValue(processes) is > 1 and var count
                        ? RankProcess.StartAll(count, given, processes, RankProcess.DeviceFor(recipe), screen)
                        : RankProcess.Run(
                            () => RankProcess.DeviceFor(recipe),
                            screen,
                            Train,
                            new CollectivesOptions { Timeout = recipe.Training.CollectiveTimeout }
                        )
                );
            }
        );
        return command;
    }

    private static int Finish(TextWriter output, FineTuneResult result, string folder)
    {
        output.WriteLine(
            string.Create(
                CultureInfo.InvariantCulture,
                $"{(result.Stopped ? "stopped after" : "done:")} {result.Steps} steps, "
                    + $"{(double.IsNaN(result.Loss) ? "no steps in this run" : $"mean loss {result.Loss:F4}")}, "
                    + $"{result.Runtime:h\\:mm\\:ss}; "
                    + $"{(result.Checkpoint is null ? "nothing was saved" : $"last checkpoint {result.Checkpoint}")}"
            )
        );
        if (result.Checkpoint is { } checkpoint)
        {
            output.WriteLine($"next: glmtune chat {checkpoint}");
            output.WriteLine($"      glmtune board {folder}");
        }

        return result.Stopped ? ExitCode.Stopped : ExitCode.Done;
    }
}
