using System.CommandLine;

namespace GlmTune.Cli.Commands;

/// <summary><c>glmtune completion</c>: prints a script with which a shell completes commands, options, values and
/// paths.</summary>
/// <remarks>The scripts ask the program itself, through the directive <c>[suggest]</c> of System.CommandLine.</remarks>
internal static class CompletionCommand
{
    private static readonly string[] Shells = ["bash", "zsh", "fish", "pwsh"];

    public static Command Create(Screen screen)
    {
        var shell = new Argument<string>("SHELL") { Description = "bash, zsh, fish or pwsh" };
        shell.AcceptOnlyFromAmong(Shells);
        var command = new Command("completion", "Print a shell's completion script; its first line says how to use it.")
        {
            shell,
        };
        command.SetAction(given =>
        {
            using var script = new StreamReader(
                typeof(CompletionCommand).Assembly.GetManifestResourceStream(
                    $"completion/{given.GetRequiredValue(shell)}"
                )!
            );
            screen.Output.Write(script.ReadToEnd());
        });
        return command;
    }
}
