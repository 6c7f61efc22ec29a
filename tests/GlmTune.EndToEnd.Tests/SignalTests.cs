using System.Diagnostics;
using System.Globalization;

namespace GlmTune;

/// <summary>A run that is asked to end by any signal of a terminal, a scheduler or a limit saves first.</summary>
public sealed class SignalTests
{
    [Theory, InlineData("HUP", false), InlineData("USR1", false), InlineData("HUP", true)]
    public async Task A_signal_ends_a_run_with_a_checkpoint_unless_it_is_ignored(string signal, bool ignored)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "Sends a signal.");
        using var workspace = Workspace.With("max_steps: 100000\nsave_steps: 100000\nlr_scheduler_type: constant");
        var (sent, last) = (0, 0);
        // "trap" with an empty command ignores a signal in what is executed next, as nohup does; "env" heeds it again,
        // even if these tests themselves run under nohup.
        string[] launcher = ignored
            ? ["sh", "-c", $"trap '' {signal}; exec \"$0\" \"$@\""]
            : ["env", $"--default-signal={signal}"];
        var run = await ProgramRun.Under(
            launcher,
            (process, line) =>
            {
                if (!line.StartsWith("step ", StringComparison.Ordinal))
                {
                    return;
                }

                last = int.Parse(line["step ".Length..line.IndexOf('/')], CultureInfo.InvariantCulture);
                // An ignored signal changes nothing: five steps later, the run is still there to be stopped.
                var next =
                    sent == 0 && last >= 3 ? signal
                    : sent == 1 && ignored && last >= 8 ? "TERM"
                    : null;
                if (next is not null)
                {
                    sent++;
                    using var kill = Process.Start(
                        "kill",
                        [$"-{next}", process.Id.ToString(CultureInfo.InvariantCulture)]
                    );
                    kill!.WaitForExit();
                }
            },
            ["train", workspace.Folder, await Workspace.RandomModel, workspace.Recipe]
        );

        Assert.Equal((130, ignored ? 2 : 1), (run.Code, sent));
        Assert.Contains($"stopped after {last} steps", run.Output, StringComparison.Ordinal);
        var checkpoint = Assert.Single(Directory.GetDirectories(workspace.Output, "checkpoint-*"));
        Assert.Equal($"checkpoint-{last}", Path.GetFileName(checkpoint));
        Assert.False(File.Exists(Path.Combine(workspace.Output, "run.lock")));
    }

    [Fact]
    public async Task A_time_limit_ends_a_run_like_a_signal()
    {
        using var workspace = Workspace.With("max_steps: 10000000\nsave_steps: 100000\nlr_scheduler_type: constant");
        var run = await ProgramRun.Of(
            "train",
            workspace.Folder,
            await Workspace.RandomModel,
            workspace.Recipe,
            "--max-time",
            "0:00:03"
        );
        Assert.Equal(130, run.Code);
    }
}
