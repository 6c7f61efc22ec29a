using System.CommandLine;

namespace GlmTune.Cli.Commands;

/// <summary><c>glmtune data</c>: inspects and converts data.</summary>
internal static class DataCommand
{
    public static Command Create(Screen screen) =>
        new("data", "Inspect, check or convert data.")
        {
            DataShowCommand.Create(screen),
            DataCheckCommand.Create(screen),
            DataConvertCommand.Create(screen),
        };
}
