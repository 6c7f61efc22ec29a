using System.CommandLine;
using GlmTune.Model.Glm4;

namespace GlmTune.Cli;

/// <summary>The layouts of a checkpoint, as the command line names them: <c>original</c> and <c>hf</c>.</summary>
internal static class LayoutOption
{
    /// <summary>A layout's name.</summary>
    public static string NameOf(CheckpointLayout layout) => layout == CheckpointLayout.Original ? "original" : "hf";

    /// <summary>The option that chooses one.</summary>
    /// <param name="standard">Which is taken without it.</param>
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
                        result.AddError($"--layout: '{result.Tokens[0].Value}' is neither original nor hf.");
                        return null;
                }
            },
        };
}
