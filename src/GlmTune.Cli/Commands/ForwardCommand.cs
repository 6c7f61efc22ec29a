using System.CommandLine;
using System.Globalization;
using GlmTune.Files;
using GlmTune.Model;
using GlmTune.Recipes;
using GlmTune.Recipes.Chat;
using GlmTune.Recipes.Models;

namespace GlmTune.Cli.Commands;

/// <summary><c>glmtune forward</c>: computes logits and loss of a batch, to compare with other frameworks.</summary>
internal static class ForwardCommand
{
    public static Command Create(Screen screen)
    {
        var path = Arguments.Tuned();
        var input = new Option<string>("--input")
        {
            HelpName = "FILE",
            Required = true,
            Description = "JSON with input_ids and optionally attention_mask and labels, all rows of equal length",
        };
        var output = new Option<string>("--output")
        {
            HelpName = "FILE",
            Required = true,
            Description = "safetensors file with logits [B, T, V] (zero at padding) and, given labels, their mean loss",
        };
        var (baseModel, device, type, json) = (
            Arguments.Base(),
            Arguments.Device(),
            Arguments.Type(),
            Arguments.Json()
        );
        var quantization = Arguments.Quantization("load the weights of the layers in fewer bits");
        var command = new Command("forward", "Write the logits and the loss of a batch to a file. Needs no tokenizer.")
        {
            path,
            input,
            output,
            baseModel,
            device,
            type,
            quantization,
            json,
        };
        command.SetAction(
            (given, stop) =>
            {
                var problems = new ProblemReport();
                var tuned = problems.Try(() =>
                    TunedPath.Resolve(given.GetRequiredValue(path), given.GetValue(baseModel))
                );
                TokenGrid? grid = null;
                if (tuned is not null)
                {
                    problems.Try(() => TunedModel.Check(tuned));
                    grid = problems.Try(() =>
                        TokenGrid.Read(
                            given.GetRequiredValue(input),
                            ModelConfig.Read(tuned.ModelFolder).VocabularySize
                        )
                    );
                }

                problems.Add(
                    WriteProbe.FindProblemOfFile(given.GetRequiredValue(output)) is { } unwritable ? [unwritable] : []
                );
                problems.Throw();
                var place = ComputeDevice.Named(given.GetValue(device));
                using var model = TunedModel.Load(
                    tuned!,
                    ComputeDevice.TypeNamed(given.GetValue(type), place),
                    place,
                    quantization: QuantizationNames.ForAnswers(given.GetValue(quantization))
                );
                var report = ForwardPass.Run(model.Model, grid!, given.GetRequiredValue(output), stop);
                if (report is { Loss: not null, SupervisedTokens: 0 })
                {
                    screen.Error.WriteLine(
                        "No tokens are supervised: every label is -100 or has no real token before it. The "
                            + "loss is NaN."
                    );
                }

                screen.Lines.WriteLine(
                    given.GetValue(json)
                        ? JsonText.Of(
                            new
                            {
                                Output = given.GetRequiredValue(output),
                                report.Rows,
                                report.Length,
                                report.SupervisedTokens,
                                Loss = report.Loss is { } loss && double.IsFinite(loss) ? report.Loss : null,
                            }
                        )
                        : string.Create(
                            CultureInfo.InvariantCulture,
                            $"{given.GetRequiredValue(output)}: {report.Rows} rows of {report.Length} tokens"
                                + $"{(report.Loss is { } mean ? $", loss {mean:F6}" : "")}"
                                + $"{(report.Loss is null ? "" : $" over {report.SupervisedTokens} tokens")}"
                        )
                );
                return Task.FromResult(ExitCode.Done);
            }
        );
        return command;
    }
}
