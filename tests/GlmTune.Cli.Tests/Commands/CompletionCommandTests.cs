using System.Diagnostics;

namespace GlmTune.Cli.Commands;

public sealed class CompletionCommandTests
{
    [Theory]
    [InlineData("bash", "complete ")]
    [InlineData("zsh", "compdef ")]
    [InlineData("fish", "complete ")]
    [InlineData("pwsh", "Register-ArgumentCompleter ")]
    public async Task A_script_asks_the_program_and_says_how_to_use_it(string shell, string registers)
    {
        var run = await Run.Of("completion", shell);
        Assert.Equal(0, run.Code);
        Assert.StartsWith("# Completion of glmtune in ", run.Lines[0], StringComparison.Ordinal);
        Assert.Contains("[suggest:", run.Output, StringComparison.Ordinal);
        Assert.Contains(run.Lines, line => line.StartsWith(registers, StringComparison.Ordinal));
    }

    [Fact]
    public async Task An_unknown_shell_is_refused_with_the_list()
    {
        var run = await Run.Of("completion", "csh");
        Assert.Equal(2, run.Code);
        Assert.Contains("bash", run.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("glmtune comple", "completion")]
    [InlineData("glmtune data c", "check convert")]
    [InlineData("glmtune chat model --dty", "--dtype")]
    [InlineData("glmtune chat model --dtype b", "bfloat16")]
    [InlineData("glmtune completion z", "zsh")]
    [InlineData("glmtune train glmtune-completion-no-su", "")]
    public async Task Bash_completes_commands_options_and_values(string line, string expected)
    {
        Assert.SkipWhen(OperatingSystem.IsWindows() || !File.Exists("/bin/bash"), "There is no bash.");
        using var folder = new TemporaryFolder();
        var program = Path.Combine(AppContext.BaseDirectory, "glmtune.dll");
        var script = folder.Write("completion.bash", (await Run.Of("completion", "bash")).Output);
        folder.Write("bin/glmtune", $"#!/bin/bash\nexec dotnet '{program}' \"$@\"\n");
        if (!OperatingSystem.IsWindows())
        {
            File.SetUnixFileMode(folder.At("bin", "glmtune"), UnixFileMode.UserRead | UnixFileMode.UserExecute);
        }

        var words = line.Split(' ');
        var start = new ProcessStartInfo("/bin/bash") { RedirectStandardOutput = true };
        start.ArgumentList.Add("-c");
        start.ArgumentList.Add(
            $"""
            source '{script}'
            COMP_LINE='{line}' COMP_POINT={line.Length} COMP_WORDS=({line}) COMP_CWORD={words.Length - 1}
            _glmtune
            printf '%s\n' "$(printf '%s\n' "{"${COMPREPLY[@]}"}" | sort | xargs)"
            """
        );
        start.Environment["PATH"] = $"{folder.At("bin")}:{Environment.GetEnvironmentVariable("PATH")}";
        using var bash = Process.Start(start)!;
        var output = await bash.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        Assert.Equal(expected, output.Trim());
    }
}
