using System.CommandLine;

namespace GlmTune.Cli.Commands;

/// <summary><c>glmtune model</c>: what a model is, and models from nothing.</summary>
internal static class ModelCommand
{
    public static Command Create(Screen screen) =>
        new("model", "Tell what a model or adapter is, or make a model with random weights.")
        {
            ModelInfoCommand.Create(screen),
            ModelInitCommand.Create(screen),
        };
}
