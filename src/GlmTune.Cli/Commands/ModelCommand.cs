using System.CommandLine;

namespace GlmTune.Cli.Commands;

/// <summary><c>glmtune model</c>: describes models, and creates them with random weights.</summary>
internal static class ModelCommand
{
    public static Command Create(Screen screen) =>
        new("model", "Describe a model or adapter, or create a model with random weights.")
        {
            ModelInfoCommand.Create(screen),
            ModelInitCommand.Create(screen),
        };
}
