using System.Diagnostics;
using GlmTune.Collectives.Native;

namespace GlmTune.Collectives.Tests;

/// <summary>The ranks are shell scripts; the launcher runs within the rank program, so that signals can be sent to
/// it.</summary>
public class LocalLauncherTests
{
    public LocalLauncherTests() =>
        Assert.SkipUnless(File.Exists("/bin/sh"), "The ranks of these tests are shell scripts.");

    [Fact]
    public async Task Each_rank_gets_its_variables()
    {
        var (code, output, _) = await Launch(
            "cuda",
            3,
            "echo \"$RANK/$WORLD_SIZE local $LOCAL_RANK/$LOCAL_WORLD_SIZE at $MASTER_ADDR:$MASTER_PORT=$NCCL_COMM_ID "
                + "of $GLMTUNE_LAUNCHER_PID\""
        );
        Assert.Equal(0, code);
        var lines = output.Split('\n', StringSplitOptions.RemoveEmptyEntries).Order().ToArray();
        Assert.Equal(3, lines.Length);
        Assert.All(
            lines,
            (line, rank) => Assert.Matches($"^{rank}/3 local {rank}/3 at 127.0.0.1:(\\d+)=127.0.0.1:\\1 of \\d+$", line)
        );
    }

    [Theory]
    [InlineData("exit 7", 7, "ended with exit code 7; ending the other ranks.")]
    [InlineData(
        "kill -9 $$",
        137,
        "was killed (signal 9; the system sends it when memory runs out); ending the other ranks."
    )]
    [InlineData("kill -15 $$", 143, "was ended by signal 15; ending the other ranks.")]
    public async Task The_first_rank_that_fails_is_named_and_gives_the_code(string failing, int expected, string said)
    {
        var (code, output, time) = await Launch("cuda", 3, $"if [ $RANK = 1 ]; then {failing}; fi; exec sleep 60");
        Assert.Equal(expected, code);
        Assert.Contains("Rank 1 of 3 (process ", output);
        Assert.Contains(said, output);
        Assert.DoesNotContain("Rank 0", output);
        Assert.True(time < TimeSpan.FromSeconds(45), $"{time}");
    }

    [Fact]
    public async Task A_rank_that_does_not_end_when_asked_is_killed()
    {
        var (code, _, time) = await Launch(
            "cuda",
            2,
            "if [ $RANK = 1 ]; then sleep 0.3; exit 3; fi; trap '' TERM; exec sleep 600",
            grace: 1
        );
        Assert.Equal(3, code);
        Assert.True(time < TimeSpan.FromSeconds(45), $"{time}");
    }

    [Fact]
    public async Task A_rank_that_ends_well_leaves_the_others_running()
    {
        var (code, output, _) = await Launch(
            "cuda",
            2,
            "if [ $RANK = 1 ]; then exit 0; fi; sleep 0.5; echo still here"
        );
        Assert.Equal(0, code);
        Assert.Contains("still here", output);
    }

    [Theory]
    [InlineData("cuda", 15, "TERM")]
    [InlineData("cuda", 10, "USR1")]
    [InlineData("cuda", 2, "INT")]
    [InlineData("cpu", 15, "TERM")]
    public async Task Signals_go_on_to_the_ranks_which_end_in_their_own_time(string device, int signal, string name)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "The numbers of signals are Linux's.");
        Assert.SkipUnless(
            device == "cuda" || RankProgram.OnPath("mpirun"),
            "mpirun is not installed (Debian: openmpi-bin)."
        );
        Assert.SkipWhen(
            IsIgnored(signal),
            $"Whatever started the tests has SIG{name} ignored, as shells do in the background, and programs inherit "
                + "it."
        );
        var seconds = device == "cpu" ? 3 : 0.1; // mpirun itself would kill them after one
        using var launcher = Process.Start(
            new ProcessStartInfo(
                "setsid",
                [
                    "-w",
                    .. Command(
                        device,
                        2,
                        $"sleep 600 & trap 'kill $!; sleep {seconds}; echo got {name}; exit 0' {name}; echo ready; wait"
                    ),
                ]
            )
            {
                RedirectStandardOutput = true,
            }
        )!;
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(120));
        using var end = limit.Token.Register(() => launcher.Kill(entireProcessTree: true));
        var lines = new[]
        {
            await launcher.StandardOutput.ReadLineAsync(),
            await launcher.StandardOutput.ReadLineAsync(),
            await launcher.StandardOutput.ReadLineAsync(),
        };
        var number = int.Parse(
            lines.Single(line => line!.StartsWith("launcher ", StringComparison.Ordinal))!["launcher ".Length..]
        );
        Assert.True(HostProcess.Signal(number, signal));
        Assert.Equal(
            $"got {name}\ngot {name}\n",
            (await launcher.StandardOutput.ReadToEndAsync()).ReplaceLineEndings("\n")
        );
        await launcher.WaitForExitAsync();
        Assert.Equal(0, launcher.ExitCode);
    }

    private static bool IsIgnored(int signal) =>
        (
            Convert.ToUInt64(
                File.ReadLines("/proc/self/status")
                    .First(line => line.StartsWith("SigIgn:", StringComparison.Ordinal))[7..]
                    .Trim(),
                16
            ) >> (signal - 1)
            & 1
        ) != 0;

    [Fact]
    public async Task Cpu_ranks_are_started_by_mpirun_and_meet()
    {
        Assert.SkipUnless(RankProgram.OnPath("mpirun"), "mpirun is not installed (Debian: openmpi-bin).");
        var (code, output, _) = await RankProgram.Run(
            RankProgram.Dotnet,
            [
                "exec",
                RankProgram.Assembly,
                "launch",
                "cpu",
                "2",
                "30",
                RankProgram.Dotnet,
                "exec",
                RankProgram.Assembly,
                "rendezvous",
            ],
            60
        );
        Assert.True(code == 0, output);
        Assert.Contains("rank 0 of 2 met the others", output);
        Assert.Contains("rank 1 of 2 met the others", output);
    }

    [Fact]
    public async Task Ranks_end_when_their_launcher_is_killed()
    {
        Assert.SkipUnless(RankProgram.OnPath("mpirun"), "mpirun is not installed (Debian: openmpi-bin).");
        using var launcher = Process.Start(
            new ProcessStartInfo(
                RankProgram.Dotnet,
                [
                    "exec",
                    RankProgram.Assembly,
                    "launch",
                    "cpu",
                    "2",
                    "30",
                    RankProgram.Dotnet,
                    "exec",
                    RankProgram.Assembly,
                    "rendezvous",
                    "stay",
                ]
            )
            {
                RedirectStandardOutput = true,
                RedirectStandardError = true,
            }
        )!;
        var ranks = new List<int>();
        while (ranks.Count < 2)
        {
            var line =
                await launcher.StandardOutput.ReadLineAsync()
                ?? throw new EndOfStreamException(await launcher.StandardError.ReadToEndAsync());
            if (line.Contains("process ", StringComparison.Ordinal))
            {
                ranks.Add(int.Parse(line[(line.LastIndexOf(' ') + 1)..]));
            }
        }

        launcher.Kill();
        var clock = Stopwatch.StartNew();
        while (ranks.Exists(HostProcess.Exists))
        {
            Assert.True(clock.Elapsed < TimeSpan.FromSeconds(45), "The ranks are still there.");
            await Task.Delay(50);
        }
    }

    [Fact]
    public async Task A_failing_cpu_rank_gives_its_code()
    {
        Assert.SkipUnless(RankProgram.OnPath("mpirun"), "mpirun is not installed (Debian: openmpi-bin).");
        Assert.Equal(
            9,
            (
                await Launch("cpu", 2, "if [ ${OMPI_COMM_WORLD_RANK:-$PMI_RANK} = 1 ]; then exit 9; fi; exec sleep 60")
            ).Code
        );
    }

    [Fact]
    public async Task Ranks_do_not_start_ranks()
    {
        var (code, output, _) = await RankProgram.Run(
            "env",
            ["RANK=1", "WORLD_SIZE=4", "LOCAL_RANK=1", .. Command("cuda", 2, "true")],
            60
        );
        Assert.Equal(2, code);
        Assert.Contains("This process is already rank 1 of 4", output);
    }

    private static async Task<(int Code, string Output, TimeSpan Time)> Launch(
        string device,
        int ranks,
        string script,
        double grace = 10
    )
    {
        var command = Command(device, ranks, script, grace);
        var (code, output, time) = await RankProgram.Run(command[0], command[1..], 60);
        return (
            code,
            string.Join(
                '\n',
                output.Split('\n').Where(line => !line.StartsWith("launcher ", StringComparison.Ordinal))
            ),
            time
        );
    }

    private static string[] Command(string device, int ranks, string script, double grace = 10) =>
        [
            RankProgram.Dotnet,
            "exec",
            RankProgram.Assembly,
            "launch",
            device,
            $"{ranks}",
            $"{grace}",
            "/bin/sh",
            "-c",
            script,
        ];
}
