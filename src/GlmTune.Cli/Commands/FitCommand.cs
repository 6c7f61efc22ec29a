using System.CommandLine;
using GlmTune.Recipes.Models;
using GlmTune.Recipes.Planning;

namespace GlmTune.Cli.Commands;

/// <summary><c>glmtune fit</c>: the longest rows that can be trained, by method and size of the GPU.</summary>
internal static class FitCommand
{
    public static Command Create(Screen screen)
    {
        var like = Arguments.Like();
        var command = new Command(
            "fit",
            "Show the longest row, in tokens, that can be trained on GPUs of 8 to 80 GB, by method. Loads nothing."
        )
        {
            like,
        };
        command.SetAction(given =>
        {
            foreach (var line in FitTable.Lines(InitializeModel.Shape(given.GetRequiredValue(like)), screen.Translated))
            {
                screen.Output.WriteLine(line);
            }
        });
        return command;
    }
}
