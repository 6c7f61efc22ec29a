using System.CommandLine;
using System.Globalization;
using GlmTune.Recipes;
using GlmTune.Recipes.Models;

namespace GlmTune.Cli.Commands;

/// <summary><c>glmtune model init</c>: a model with random weights.</summary>
internal static class ModelInitCommand
{
    public static Command Create(Screen screen)
    {
        var folder = new Argument<string>("FOLDER") { Description = "the folder to make" };
        var like = new Option<string>("--like")
        {
            HelpName = "MODEL",
            Required = true,
            Description =
                $"whose shape: {InitializeModel.PublishedShape}, or a model's folder, of which config.json is enough; "
                + "its tokenizer is copied",
        };
        var layout = LayoutOption.Create("those of the model that it is like");
        var seed = NumberOption.Of<long>("--seed", "decides the numbers", 42);
        var (type, device) = (
            Arguments.Type("type of the weights; bfloat16 on a GPU, float32 on the CPU"),
            Arguments.Device()
        );
        var command = new Command(
            "init",
            "Make a model with random weights: normal with deviation 0.02, norms one, biases zero."
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
            screen.Output.WriteLine(
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"{given.GetRequiredValue(folder)}: {config.ParameterCount:N0} parameters"
                )
            );
        });
        return command;
    }
}
