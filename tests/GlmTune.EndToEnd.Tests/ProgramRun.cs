using System.Diagnostics;

namespace GlmTune;

/// <summary>The built program, run as people run it: as a process of its own.</summary>
internal sealed record ProgramRun(int Code, string Output, string Error)
{
    public string[] Lines => Output.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);

    /// <summary>Runs a command that must succeed.</summary>
    public static async Task<ProgramRun> Done(params string[] arguments)
    {
        var run = await Of(arguments);
        Assert.True(
            run.Code == 0,
            $"glmtune {string.Join(' ', arguments)} gave {run.Code}:\n{run.Error}\n{run.Output}"
        );
        return run;
    }

    /// <summary>Runs a command.</summary>
    public static Task<ProgramRun> Of(params string[] arguments) => Of("", null, arguments);

    /// <summary>Runs a command in a folder.</summary>
    public static Task<ProgramRun> In(string folder, params string[] arguments) => Of("", null, [], arguments, folder);

    /// <summary>Runs a command with input, and looks at its lines as they come.</summary>
    public static Task<ProgramRun> Of(string input, Action<Process, string>? onLine, params string[] arguments) =>
        Of(input, onLine, [], arguments);

    /// <summary>Runs a command under a launcher of ranks, with a thread each.</summary>
    public static Task<ProgramRun> Under(string[] launcher, Action<Process, string>? onLine, string[] arguments) =>
        Of("", onLine, launcher, arguments);

    private static async Task<ProgramRun> Of(
        string input,
        Action<Process, string>? onLine,
        string[] launcher,
        string[] arguments,
        string? folder = null
    )
    {
        string[] command = [.. launcher, "dotnet", Path.Combine(AppContext.BaseDirectory, "glmtune.dll"), .. arguments];
        var start = new ProcessStartInfo(command[0], command[1..])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = folder ?? Path.GetTempPath(),
        };
        if (launcher.Length > 0)
        {
            start.Environment["OMP_NUM_THREADS"] = "1";
            start.Environment["TERM"] = "xterm"; // one that has codes
        }

        start.Environment["GLMTUNE_LANG"] = "en";
        using var process = Process.Start(start)!;
        await process.StandardInput.WriteAsync(input);
        process.StandardInput.Close();
        var error = process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        var lines = new List<string>();
        while (await process.StandardOutput.ReadLineAsync(TestContext.Current.CancellationToken) is { } line)
        {
            lines.Add(line);
            onLine?.Invoke(process, line);
        }

        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        return new ProgramRun(process.ExitCode, string.Join('\n', lines), await error);
    }
}
