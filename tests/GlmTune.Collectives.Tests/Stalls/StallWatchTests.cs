using Microsoft.Extensions.Time.Testing;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Collectives.Tests;

public sealed class StallWatchTests
{
    private static readonly TimeSpan Timeout = TimeSpan.FromMinutes(1);
    private static readonly CollectiveCall Call = new(
        Collective.AllGather,
        ScalarType.BFloat16,
        [4, 8],
        null,
        new CallLabel(12, 3)
    );

    private readonly FakeTimeProvider clock = new();
    private readonly List<string> reports = [];
    private readonly List<Exception> ends = [];
    private long others;

    [Fact]
    public void A_run_that_hangs_is_reported_with_the_collective_and_ended_a_little_later()
    {
        var (first, second) = (new RankActivity(0, 2), new RankActivity(1, 2));
        using var watch = Watch(first, second);
        first.StartTraining();
        second.StartTraining();
        second.Begin(Call);
        second.End();
        first.Begin(Call);
        Pass(Timeout / 2);
        Assert.Empty(reports);
        Pass(Timeout);

        var report = Assert.Single(reports);
        Assert.StartsWith("No progress for 60 s (--stall-timeout); the run ends.", report, StringComparison.Ordinal);
        Assert.Contains(
            "Rank 0 of 2: waits in AllGather of bfloat16 [4, 8] at step 12, layer 3; 0 collectives were finished",
            report,
            StringComparison.Ordinal
        );
        Assert.Contains(
            "Rank 1 of 2: is in no collective; the last one was AllGather of bfloat16 [4, 8] at step 12, layer 3; 1 "
                + "collectives were finished",
            report,
            StringComparison.Ordinal
        );
        Assert.EndsWith("the threads", report, StringComparison.Ordinal);
        Pass(Timeout);
        Assert.IsType<LostRankException>(Assert.Single(ends));
        Pass(Timeout * 10);
        Assert.Single(ends);
        Assert.Single(reports);
    }

    [Theory, InlineData("step"), InlineData("collective"), InlineData("file")]
    public void Any_sign_of_progress_starts_the_time_again(string sign)
    {
        var rank = new RankActivity(0, 1);
        using var watch = Watch(rank);
        rank.StartTraining();
        for (var i = 0; i < 10; i++)
        {
            Pass(Timeout * 0.7);
            switch (sign)
            {
                case "step":
                    rank.Progress();
                    break;
                case "collective":
                    rank.Begin(Call);
                    break;
                default:
                    others++;
                    break;
            }
        }

        Assert.Empty(reports);
        Pass(Timeout * 2);
        Assert.Single(reports);
    }

    [Fact]
    public void Reading_before_the_first_step_is_not_watched_nor_anything_after_the_end()
    {
        var rank = new RankActivity(0, 1);
        var watch = Watch(rank);
        Pass(Timeout * 10);
        Assert.Empty(reports);
        rank.StartTraining();
        watch.Dispose();
        Pass(Timeout * 10);
        Assert.Empty(reports);
    }

    [Fact]
    public void Ranks_that_wait_for_one_that_hangs_between_collectives_are_named_with_their_collective()
    {
        using var hangs = new ManualResetEventSlim();
        using var reached = new ManualResetEventSlim();
        var activities = new RankActivity[2];
        using var barrier = new Barrier(2);
        var run = new Thread(() =>
            InProcess.Run(
                2,
                ranks =>
                {
                    activities[ranks.Rank] = ranks.Activity;
                    barrier.SignalAndWait();
                    ranks.Activity.StartTraining();
                    ranks.AllReduceSum(zeros(3), new CallLabel(7, 1)).Wait();
                    if (ranks.Rank == 1)
                    {
                        reached.Set();
                        hangs.Wait();
                    }

                    ranks.AllReduceSum(zeros(5), new CallLabel(7, 2)).Wait();
                }
            )
        );
        run.Start();
        reached.Wait();
        SpinWait.SpinUntil(() =>
            activities[0].Describe().Contains("waits in", StringComparison.Ordinal)
            && activities[0].Describe().Contains("layer 2", StringComparison.Ordinal)
        );
        using (Watch(activities))
        {
            Pass(Timeout * 2);
        }

        hangs.Set();
        run.Join();
        var report = Assert.Single(reports);
        Assert.Contains("Rank 0 of 2: waits in AllReduceSum of float32 [5] at step 7, layer 2; 1 c", report);
        Assert.Contains("Rank 1 of 2: is in no collective; the last one was AllReduceSum of float32 [3] at", report);
    }

    [Fact]
    public void The_threads_of_this_process_are_listed_with_their_names()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "Threads have names on Linux.");
        using var end = new ManualResetEventSlim();
        using var runs = new ManualResetEventSlim();
        var thread = new Thread(() =>
        {
            runs.Set();
            end.Wait();
        })
        {
            Name = "stalled rank",
        };
        thread.Start();
        runs.Wait();
        var text = ThreadStates.Describe();
        end.Set();
        thread.Join();
        Assert.StartsWith($"Threads of process {Environment.ProcessId} on ", text, StringComparison.Ordinal);
        Assert.True(System.Text.RegularExpressions.Regex.IsMatch(text, @"\d+ stalled rank: "), text);
    }

    // Second by second, as a timer sees it.
    private void Pass(TimeSpan time)
    {
        for (var passed = TimeSpan.Zero; passed < time; passed += TimeSpan.FromSeconds(1))
        {
            clock.Advance(TimeSpan.FromSeconds(1));
        }
    }

    private StallWatch Watch(params RankActivity[] ranks) =>
        new(Timeout, ranks, reports.Add, ends.Add, clock, () => "the threads", () => others);
}
