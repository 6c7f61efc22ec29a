using System.CommandLine;

namespace GlmTune.Cli.Commands;

/// <summary><c>glmtune data</c>: looks at data, and brings it into shape.</summary>
internal static class DataCommand
{
    public static Command Create(Screen screen) =>
        new("data", "Look at the data of a recipe, check it, or convert data of another shape.")
        {
            DataShowCommand.Create(screen),
            DataCheckCommand.Create(screen),
            DataConvertCommand.Create(screen),
        };
}
