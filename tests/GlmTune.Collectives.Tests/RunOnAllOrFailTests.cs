namespace GlmTune.Collectives.Tests;

public class RunOnAllOrFailTests
{
    private static bool IsExpected(Exception error) => error is InvalidDataException;

    [Fact]
    public void What_succeeds_on_all_ranks_gives_each_its_own_result() =>
        Assert.Equal([0, 10, 20], InProcess.Run(3, ranks => ranks.RunOnAllOrFail(() => ranks.Rank * 10, IsExpected)));

    [Fact]
    public void What_fails_on_one_rank_fails_on_all_with_its_message_and_number()
    {
        var seen = new SharedFailureException?[3];
        InProcess.Run(
            3,
            ranks =>
            {
                seen[ranks.Rank] = Assert.Throws<SharedFailureException>(() =>
                    ranks.RunOnAllOrFail(
                        () => ranks.Rank == 1 ? throw new InvalidDataException("no space left") : 0,
                        IsExpected
                    )
                );
                ranks.Barrier();
            }
        );
        Assert.All(seen, error => Assert.Equal("Rank 1 of 3: no space left", error!.Message));
        Assert.Equal([false, true, false], seen.Select(error => error!.InnerException is InvalidDataException));
    }

    [Fact]
    public void What_all_ranks_say_is_said_once_and_what_each_says_under_its_number()
    {
        string Message(Func<int, string> said) =>
            InProcess.Run(
                2,
                ranks =>
                    Assert
                        .Throws<SharedFailureException>(() =>
                            ranks.RunOnAllOrFail<int>(
                                () => throw new InvalidDataException(said(ranks.Rank)),
                                IsExpected
                            )
                        )
                        .Message
            )[1];
        Assert.Equal("a.yaml: wrong", Message(_ => "a.yaml: wrong"));
        Assert.Equal("Rank 0 of 2: line 10\nRank 1 of 2: line 11", Message(rank => $"line {10 + rank}"));
    }

    [Fact]
    public void A_defect_is_not_shared_and_one_rank_alone_throws_what_it_threw()
    {
        Assert.Throws<InvalidOperationException>(() =>
            InProcess.Run(
                2,
                ranks =>
                    ranks.RunOnAllOrFail(
                        () => ranks.Rank == 1 ? throw new InvalidOperationException("a defect") : 0,
                        IsExpected
                    )
            )
        );
        InProcess.Run(
            1,
            ranks =>
                Assert.Throws<InvalidDataException>(() =>
                    ranks.RunOnAllOrFail<int>(() => throw new InvalidDataException("alone"), IsExpected)
                )
        );
    }

    [Fact]
    public void A_shared_failure_is_reported_by_rank_0_alone_and_all_take_leave_with_the_same_code()
    {
        var reported = new List<int>();
        var codes = InProcess.Run(
            3,
            ranks =>
                RankRun.Run(
                    ranks,
                    _ =>
                        ranks.RunOnAllOrFail(
                            () => ranks.Rank == 2 ? throw new InvalidDataException("bad file") : 0,
                            IsExpected
                        ),
                    error =>
                    {
                        reported.Add(ranks.Rank);
                        return error is SharedFailureException ? 2 : 1;
                    }
                )
        );
        Assert.Equal([2, 2, 2], codes);
        Assert.Equal([0], reported);
    }
}
