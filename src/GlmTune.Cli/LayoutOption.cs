using System.CommandLine;
using GlmTune.Model;

namespace GlmTune.Cli;

/// <summary>Checkpoint layouts as named on the command line: <c>original</c> and <c>hf</c>.</summary>
internal static class LayoutOption
{
    /// <summary>The name of a layout.</summary>
    public static string NameOf(CheckpointLayout layout) => layout == CheckpointLayout.Original ? "original" : "hf";

    /// <summary>Creates the option that selects a layout.</summary>
    /// <param name="standard">Description of the default.</param>
    public static Option<CheckpointLayout?> Create(string standard) =>
        new("--layout")
        {
            HelpName = "hf|original",
            Description = $"names of the tensors; {standard}",
            CustomParser = result =>
            {
                switch (result.Tokens[0].Value)
                {
                    case "original":
                        return CheckpointLayout.Original;
                    case "hf":
                        return CheckpointLayout.Library;
                    default:
                        result.AddError($"--layout: expected original or hf, found '{result.Tokens[0].Value}'.");
                        return null;
                }
            },
        };
}
