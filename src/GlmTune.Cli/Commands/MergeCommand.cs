using System.CommandLine;
using System.Globalization;
using GlmTune.Files;
using GlmTune.Recipes;
using GlmTune.Recipes.Chat;
using GlmTune.Recipes.Models;
using static TorchSharp.torch;

namespace GlmTune.Cli.Commands;

/// <summary><c>glmtune merge</c>: merges an adapter into its base model.</summary>
internal static class MergeCommand
{
    public static Command Create(Screen screen)
    {
        var path = Arguments.Tuned();
        var output = new Argument<string>("OUT") { Description = "output folder" };
        var layout = LayoutOption.Create("default: those of the base model");
        var (baseModel, device, type) = (
            Arguments.Base(),
            Arguments.Device(),
            Arguments.Type("type of the weights; default: that of the base model")
        );
        var command = new Command(
            "merge",
            "Merge a LoRA or DoRA adapter into its base model, check that the logits agree, and write the "
                + "model. A model without an adapter is converted."
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
            var (folder, stored) = (
                given.GetRequiredValue(output),
                given.GetValue(type) is { } name ? ComputeDevice.TypeNamed(name, place) : (ScalarType?)null
            );
            var problems = new ProblemReport();
            var tuned = problems.Try(() => TunedPath.Resolve(given.GetRequiredValue(path), given.GetValue(baseModel)));
            problems.Add(MergeAdapter.FindProblems(tuned, folder, given.GetValue(layout), stored));
            problems.Throw();
            var report = MergeAdapter.Run(
                tuned!,
                folder,
                given.GetValue(layout),
                stored,
                place,
                text => screen.Error.WriteLine($"note: {text}")
            );
            var agreement = report.Agreement is { } found
                ? string.Create(
                    CultureInfo.InvariantCulture,
                    $"; logits agree with those of the adapter attached within "
                        + $"{report.Type.ToString().ToLowerInvariant()} rounding ({100 * found.Difference:G2} % of "
                        + $"their norm; computing them in another order moves them by {100 * found.Noise:G2} %)"
                )
                : "";
            screen.Lines.WriteLine(
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"{folder}: {LayoutOption.NameOf(report.Layout)} layout{agreement}"
                )
            );
        });
        return command;
    }
}
