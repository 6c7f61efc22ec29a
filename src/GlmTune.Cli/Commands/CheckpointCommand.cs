using System.CommandLine;
using GlmTune.Kernels.Native;
using GlmTune.Recipes;
using GlmTune.Recipes.Models;
using static TorchSharp.torch;

namespace GlmTune.Cli.Commands;

/// <summary><c>glmtune checkpoint</c>: what training saved, made into something else.</summary>
internal static class CheckpointCommand
{
    public static Command Create(Screen screen) =>
        new("checkpoint", "Make something of what training saved.") { Consolidate(screen) };

    private static Command Consolidate(Screen screen)
    {
        var checkpoint = new Argument<string>("CHECKPOINT")
        {
            Description = "a checkpoint's folder, such as output/checkpoint-500, of a run that trained all weights",
        };
        var output = new Argument<string>("OUT") { Description = "the folder to make" };
        var layout = LayoutOption.Create("those of the checkpoint");
        var type = Arguments.Type("type of the weights; the one that the checkpoint's config.json names");
        var command = new Command(
            "consolidate",
            "Make one whole model of a checkpoint whose weights are spread over the files of its ranks."
        )
        {
            checkpoint,
            output,
            layout,
            type,
        };
        command.SetAction(given =>
        {
            NativeRuntime.Load();
            var (names, stored) = ConsolidateCheckpoint.Run(
                given.GetRequiredValue(checkpoint),
                given.GetRequiredValue(output),
                given.GetValue(layout),
                given.GetValue(type) is { } name ? ComputeDevice.TypeNamed(name, CPU) : null
            );
            screen.Output.WriteLine(
                $"{given.GetRequiredValue(output)}: {LayoutOption.NameOf(names)} layout, "
                    + $"{stored.ToString().ToLowerInvariant()}"
            );
        });
        return command;
    }
}
