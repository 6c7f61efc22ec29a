using System.CommandLine;

namespace GlmTune.Cli.Commands;

/// <summary><c>glmtune model</c>: downloads, lists and describes models, and creates them with random
/// weights.</summary>
internal static class ModelCommand
{
    public static Command Create(Screen screen) =>
        new("model", "Download, list, check and describe models, or create one with random weights.")
        {
            ModelPullCommand.Create(screen),
            ModelListCommand.Create(screen),
            ModelInfoCommand.Create(screen),
            ModelVerifyCommand.Create(screen),
            ModelRemoveCommand.Create(screen),
            ModelInitCommand.Create(screen),
        };
}
