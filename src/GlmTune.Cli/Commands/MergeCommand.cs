using System.CommandLine;
using System.Globalization;
using GlmTune.Recipes;
using GlmTune.Recipes.Chat;
using GlmTune.Recipes.Models;

namespace GlmTune.Cli.Commands;

/// <summary><c>glmtune merge</c>: an adapter and its base as one model.</summary>
internal static class MergeCommand
{
    public static Command Create(Screen screen)
    {
        var path = Arguments.Tuned();
        var output = new Argument<string>("OUT") { Description = "the folder to make" };
        var layout = LayoutOption.Create("those of the base model");
        var (baseModel, device, type) = (
            Arguments.Base(),
            Arguments.Device(),
            Arguments.Type("type of the weights; that of the base model")
        );
        var command = new Command(
            "merge",
            "Make a LoRA or DoRA adapter part of its base model, check that both answer alike, and write the model; a "
                + "model without adapter is converted."
        )
        {
            path,
            output,
            layout,
            type,
            baseModel,
            device,
        };
        command.SetAction(given =>
        {
            var place = ComputeDevice.Named(given.GetValue(device));
            var report = MergeAdapter.Run(
                TunedPath.Resolve(given.GetRequiredValue(path), given.GetValue(baseModel)),
                given.GetRequiredValue(output),
                given.GetValue(layout),
                given.GetValue(type) is { } name ? ComputeDevice.TypeNamed(name, place) : null,
                place
            );
            var agreement = report.Difference is { } difference
                ? $"; logits differ from those with the adapter attached by {difference:G2} of their norm"
                : "";
            screen.Output.WriteLine(
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"{given.GetRequiredValue(output)}: {LayoutOption.NameOf(report.Layout)} layout{agreement}"
                )
            );
        });
        return command;
    }
}
