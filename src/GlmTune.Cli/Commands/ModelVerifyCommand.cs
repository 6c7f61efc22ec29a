using System.CommandLine;
using GlmTune.Recipes.Models;

namespace GlmTune.Cli.Commands;

/// <summary><c>glmtune model verify</c>: reads all files of a downloaded model and compares their hashes.</summary>
internal static class ModelVerifyCommand
{
    public static Command Create(Screen screen)
    {
        var model = new Argument<string>("MODEL")
        {
            Description =
                "Hub id of a downloaded model (all its revisions, or one with @REVISION), or a model folder that "
                + "glmtune wrote",
        };
        var command = new Command("verify", "Read all files of a model and compare them with the hashes of its site.")
        {
            model,
        };
        command.SetAction(given =>
        {
            var results = VerifyModel.Run(given.GetRequiredValue(model));
            foreach (var result in results)
            {
                screen.Lines.WriteLine(result.Describe());
            }

            return results.All(result => result.Problems.Count == 0) ? ExitCode.Done : ExitCode.Users;
        });
        return command;
    }
}
