using System.CommandLine;
using GlmTune.Kernels.Native;
using GlmTune.Recipes;
using GlmTune.Recipes.Models;
using static TorchSharp.torch;

namespace GlmTune.Cli.Commands;

/// <summary><c>glmtune checkpoint</c>: verifies and converts checkpoints.</summary>
internal static class CheckpointCommand
{
    public static Command Create(Screen screen) =>
        new("checkpoint", "Verify or convert training checkpoints.") { Verify(screen), Consolidate(screen) };

    private static Command Verify(Screen screen)
    {
        var path = new Argument<string>("PATH")
        {
            Description = "a checkpoint, adapter or model folder, or an output folder with checkpoints",
        };
        var accept = new Option<bool>("--accept")
        {
            Description = "accept the files of this one folder as they are now, by writing a new manifest",
        };
        var command = new Command("verify", "Read all files of a folder and compare them with its manifest.")
        {
            path,
            accept,
        };
        command.SetAction(given =>
        {
            var results = given.GetValue(accept)
                ? [VerifyCheckpoint.Accept(given.GetRequiredValue(path))]
                : VerifyCheckpoint.Run(given.GetRequiredValue(path));
            foreach (var result in results)
            {
                screen.Output.WriteLine(result.Describe());
            }

            return results.All(result => result.Problems.Count == 0) ? ExitCode.Done : ExitCode.Users;
        });
        return command;
    }

    private static Command Consolidate(Screen screen)
    {
        var checkpoint = new Argument<string>("CHECKPOINT")
        {
            Description = "folder of a checkpoint of a full fine-tuning run, such as output/checkpoint-500",
        };
        var output = new Argument<string>("OUT") { Description = "output folder" };
        var layout = LayoutOption.Create("default: those of the checkpoint");
        var type = Arguments.Type("type of the weights; default: the one in the checkpoint's config.json");
        var command = new Command(
            "consolidate",
            "Assemble a complete model from a checkpoint whose weights are sharded over ranks."
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
            screen.Lines.WriteLine(
                $"{given.GetRequiredValue(output)}: {LayoutOption.NameOf(names)} layout, "
                    + $"{stored.ToString().ToLowerInvariant()}"
            );
        });
        return command;
    }
}
