using System.Diagnostics;
using GlmTune.Kernels;
using GlmTune.Kernels.Native;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Collectives.Tests;

public class InProcessTests
{
    static InProcessTests() => NativeRuntime.Load();

    public static TheoryData<string, int> Cases() =>
        [.. CollectivesCases.All.Keys.SelectMany(_ => new[] { 1, 2, 3, 4 }, (name, ranks) => (name, ranks))];

    [Theory, MemberData(nameof(Cases))]
    public void Threads_pass(string name, int worldSize) =>
        InProcess.Run(
            worldSize,
            ranks =>
            {
                using var scope = NewDisposeScope();
                CollectivesCases.All[name](ranks);
            },
            new CollectivesOptions { Timeout = TimeSpan.FromSeconds(30) }
        );

    public static TheoryData<string> CaseNames() => [.. CollectivesCases.All.Keys];

    [Theory, MemberData(nameof(CaseNames))]
    public void A_single_rank_passes(string name)
    {
        using var scope = NewDisposeScope();
        using var ranks = new SingleRank();
        CollectivesCases.All[name](ranks);
    }

    [Fact]
    public void A_single_rank_moves_nothing_where_input_and_output_are_the_same_memory()
    {
        using var ranks = new SingleRank();
        using var parameter = TensorCreation.Range(5);
        ranks.AllGather(parameter, parameter).Wait();
        ranks.ReduceScatterSum(parameter, parameter).Wait();
        Assert.Equal([0L, 1, 2, 3, 4], parameter.data<long>().ToArray());
        Assert.Equal(0, ranks.Traffic.Total.BytesSent);
    }

    [Fact]
    public void Results_come_back_in_the_order_of_the_ranks() =>
        Assert.Equal([10, 11, 12], InProcess.Run(3, ranks => 10 + ranks.Rank));

    [Fact]
    public void A_rank_that_throws_ends_the_others_at_once_and_its_own_exception_comes_out()
    {
        var messages = new string[4];
        var clock = Stopwatch.StartNew();
        var error = Assert.Throws<InvalidDataException>(() =>
            InProcess.Run(
                4,
                ranks =>
                {
                    if (ranks.Rank == 2)
                    {
                        throw new InvalidDataException("sft.yaml, line 3: no such thing");
                    }

                    messages[ranks.Rank] = Assert
                        .Throws<LostRankException>(() =>
                            ranks.AllReduceSum(zeros(2, 3), new CallLabel(1204, 17)).Wait()
                        )
                        .Message;
                }
            )
        );
        Assert.True(clock.Elapsed < TimeSpan.FromSeconds(20));
        Assert.Equal("sft.yaml, line 3: no such thing", error.Message);
        foreach (var rank in (int[])[0, 1, 3])
        {
            Assert.Equal(
                $"Rank {rank} of 4, step 1204, layer 17: AllReduceSum of float32 [2, 3] was aborted, because "
                    + "rank 2 failed: sft.yaml, line 3: no such thing",
                messages[rank]
            );
        }
    }

    [Fact]
    public void A_rank_that_never_comes_is_named_when_the_time_is_over()
    {
        using var release = new ManualResetEventSlim();
        var clock = Stopwatch.StartNew();
        var error = Assert.Throws<LostRankException>(() =>
            InProcess.Run(
                3,
                ranks =>
                {
                    if (ranks.Rank == 1)
                    {
                        release.Wait();
                        return;
                    }

                    try
                    {
                        ranks
                            .AllGather(
                                zeros(4, ScalarType.BFloat16),
                                zeros(12, ScalarType.BFloat16),
                                new CallLabel(1204, "output head")
                            )
                            .Wait();
                    }
                    finally
                    {
                        release.Set();
                    }
                },
                new CollectivesOptions { Timeout = TimeSpan.FromSeconds(1) }
            )
        );
        Assert.Matches(
            "^Rank [02] of 3, step 1204, output head: AllGather of bfloat16 \\[4\\] not finished after 1 s. "
                + "Missing: rank 1",
            error.Message
        );
        Assert.True(clock.Elapsed < TimeSpan.FromSeconds(20));
    }

    [Fact]
    public void Ranks_that_take_different_paths_are_told_both()
    {
        using var begun = new ManualResetEventSlim();
        var error = Assert.Throws<LostRankException>(() =>
            InProcess.Run(
                2,
                ranks =>
                {
                    if (ranks.Rank == 0)
                    {
                        var sum = ranks.AllReduceSum(zeros(8), new CallLabel(3, 5));
                        begun.Set();
                        sum.Wait();
                    }
                    else
                    {
                        begun.Wait();
                        ranks.Broadcast(zeros(8), 0, new CallLabel(3, 6)).Wait();
                    }
                }
            )
        );
        Assert.Equal(
            "Rank 1 of 2, step 3, layer 6: Broadcast of float32 [8] from rank 0 does not match AllReduceSum of float32 "
                + "[8] at step 3, layer 5 of rank 0. All ranks must make the same calls in the same order; compare "
                + "the code paths that led here.",
            error.Message
        );
    }

    [Theory, InlineData(0), InlineData(1)]
    public void Equal_calls_for_different_layers_are_not_the_same_whoever_comes_last(int last) =>
        Assert.Throws<LostRankException>(() =>
            InProcess.Run(
                2,
                ranks =>
                {
                    Thread.Sleep(ranks.Rank == last ? 50 : 0);
                    ranks.AllReduceSum(zeros(8), new CallLabel(3, ranks.Rank)).Wait();
                }
            )
        );

    [Fact]
    public void A_rank_that_ends_early_ends_the_others_at_once()
    {
        var error = Assert.Throws<LostRankException>(() =>
            InProcess.Run(
                3,
                ranks =>
                {
                    if (ranks.Rank > 0)
                    {
                        ranks.Barrier(new CallLabel(9));
                    }
                }
            )
        );
        Assert.Matches("^Rank [12] of 3, step 9: Barrier cannot finish, because rank 0 has ended.$", error.Message);
    }

    [Fact]
    public void An_aborting_rank_ends_the_others()
    {
        var error = Assert.Throws<InvalidOperationException>(() =>
            InProcess.Run(
                2,
                ranks =>
                {
                    if (ranks.Rank == 1)
                    {
                        ranks.Abort(new InvalidOperationException("no more disk"), exitCode: 1);
                        return;
                    }

                    ranks.Barrier();
                }
            )
        );
        Assert.Equal("no more disk", error.Message);
    }

    [Fact]
    public void No_tensor_is_left_over()
    {
        RunAll();
        Assert.Equal(0, RunAll().Sum());

        // Tensors that the ranks' own threads made and did not dispose: other tests run beside this one.
        static long[] RunAll() =>
            InProcess.Run(
                3,
                ranks =>
                {
                    var before = DisposeScopeManager.Statistics.ThreadTotalLiveCount;
                    using (NewDisposeScope())
                    {
                        CollectivesCases.All.Values.ToList().ForEach(run => run(ranks));
                    }

                    ranks.Barrier();
                    return DisposeScopeManager.Statistics.ThreadTotalLiveCount - before;
                }
            );
    }

    [Fact]
    public void Options_refuse_a_timeout_that_is_not_above_zero() =>
        Assert.Throws<ArgumentOutOfRangeException>(() => new CollectivesOptions { Timeout = TimeSpan.Zero });
}
