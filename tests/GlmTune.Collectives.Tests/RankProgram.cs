using System.Diagnostics;
using System.Text.RegularExpressions;

namespace GlmTune.Collectives.Tests;

/// <summary>Runs the rank program under an MPI launcher, and skips the calling test where there is none.</summary>
internal static partial class RankProgram
{
    /// <summary>The program's assembly; its own output folder beside this one holds the natives that it
    /// needs.</summary>
    public static string Assembly { get; } =
        Path.Combine(AppContext.BaseDirectory, "GlmTune.Collectives.RankProgram.dll");

    /// <summary>The host of .NET programs.</summary>
    public static string Dotnet { get; } =
        Environment.ProcessPath!.EndsWith("dotnet", StringComparison.Ordinal) ? Environment.ProcessPath : "dotnet";

    /// <summary>The result of a run; fails the test when it does not end within <paramref name="seconds"/>.</summary>
    public static async Task<(int Code, string Output, TimeSpan Time)> Mpirun(
        int ranks,
        string task,
        string launcher = "mpirun",
        double seconds = 60
    )
    {
        Assert.SkipUnless(OnPath(launcher), $"{launcher} is not installed (Debian: openmpi-bin).");
        var isOpenMpi = (await Run(launcher, ["--version"], 10)).Output.Contains("Open MPI", StringComparison.Ordinal);
        string[] options = isOpenMpi ? ["--allow-run-as-root", "--oversubscribe", "--bind-to", "none"] : [];
        return await Run(
            launcher,
            [.. options, "-n", $"{ranks}", Dotnet, "exec", Assembly, .. task.Split(' ')],
            seconds
        );
    }

    public static bool OnPath(string program) =>
        (Environment.GetEnvironmentVariable("PATH") ?? "")
            .Split(Path.PathSeparator)
            .Any(folder => File.Exists(Path.Combine(folder, program)));

    public static async Task<(int Code, string Output, TimeSpan Time)> Run(
        string program,
        string[] arguments,
        double seconds
    )
    {
        var clock = Stopwatch.StartNew();
        var start = new ProcessStartInfo(program, arguments)
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        using var process = Process.Start(start)!;
        var (output, error) = (process.StandardOutput.ReadToEndAsync(), process.StandardError.ReadToEndAsync());
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(seconds));
        try
        {
            await process.WaitForExitAsync(limit.Token);
        }
        catch (OperationCanceledException)
        {
            process.Kill(entireProcessTree: true);
            Assert.Fail(
                $"{program} {string.Join(' ', arguments)} did not end within {seconds} s.\n{await output}{await error}"
            );
        }

        return (process.ExitCode, TerminalControl().Replace(await output + await error, ""), clock.Elapsed);
    }

    [GeneratedRegex("\\x1b\\[\\?1h\\x1b?=?")]
    private static partial Regex TerminalControl();
}
