using System.CommandLine;
using System.Globalization;
using GlmTune.Model;
using GlmTune.Recipes;
using GlmTune.Recipes.Models;

namespace GlmTune.Cli.Commands;

/// <summary><c>glmtune model init</c>: creates a model with random weights.</summary>
internal static class ModelInitCommand
{
    public static Command Create(Screen screen)
    {
        var folder = new Argument<string>("FOLDER") { Description = "output folder" };
        var like = new Option<string>("--like")
        {
            HelpName = "MODEL",
            Required = true,
            Description =
                $"model to take the shapes from: {string.Join(", ", ModelFamilies.ShapeNames)}, or a model "
                + "folder (config.json is enough); its tokenizer is copied",
        };
        var layout = LayoutOption.Create("default: those of the --like model");
        var seed = NumberOption.Of<long>("--seed", "random seed", 42);
        var (type, device) = (
            Arguments.Type("type of the weights; default: bfloat16 on a GPU, float32 on the CPU"),
            Arguments.Device()
        );
        var command = new Command(
            "init",
            "Create a model with random weights: normal with standard deviation 0.02, norms one, biases zero."
        )
        {
            folder,
            like,
            layout,
            seed,
            type,
            device,
        };
        command.SetAction(given =>
        {
            var place = ComputeDevice.Named(given.GetValue(device));
            var config = InitializeModel.Run(
                given.GetRequiredValue(folder),
                given.GetRequiredValue(like),
                given.GetValue(layout),
                given.GetValue(seed),
                ComputeDevice.TypeNamed(given.GetValue(type), place),
                place
            );
            screen.Lines.WriteLine(
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"{given.GetRequiredValue(folder)}: {config.ParameterCount:N0} parameters"
                )
            );
        });
        return command;
    }
}
