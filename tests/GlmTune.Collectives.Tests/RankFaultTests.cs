using System.Collections.Concurrent;
using static TorchSharp.torch;

namespace GlmTune.Collectives.Tests;

/// <summary>A rank fails at each of its collectives, before it or while it is under way; the others end with a message
/// that names the place.</summary>
public sealed class RankFaultTests
{
    private const int Ranks = 3;

    [Theory, InlineData(false), InlineData(true)]
    public void The_other_ranks_name_rank_collective_layer_and_step(bool inside)
    {
        var count = RankFaultProgram.Count;
        for (var failing = 0; failing < Ranks; failing++)
        {
            for (var at = 0; at < count; at++)
            {
                Check(failing, at, inside);
            }
        }
    }

    [Theory, InlineData(0, false), InlineData(5, true), InlineData(22, false)]
    public async Task Processes_report_where_the_rank_was_and_end_all(int at, bool inside)
    {
        var (code, output, _) = await RankProgram.Mpirun(2, $"fail-at 60 {1 << 30} {at} {inside}");
        Assert.Equal(2, code);
        Assert.Contains("Rank 1 failed: injected", output, StringComparison.Ordinal);
        Assert.Contains("Rank 1 of 2: ", output, StringComparison.Ordinal);
        if (at > 0)
        {
            Assert.Contains($"the last one was {RankFaultProgram.Describe(at - 1)}", output, StringComparison.Ordinal);
        }
    }

    private static void Check(int failing, int at, bool inside)
    {
        var errors = new ConcurrentDictionary<int, Exception>();
        Assert.Throws<InvalidDataException>(() =>
            InProcess.Run(
                Ranks,
                ranks =>
                {
                    try
                    {
                        RankFaultProgram.Run(ranks, ranks.Rank == failing ? at : null, inside);
                    }
                    catch (Exception error)
                    {
                        errors[ranks.Rank] = error;
                        throw;
                    }
                }
            )
        );
        foreach (var rank in Enumerable.Range(0, Ranks).Where(rank => rank != failing))
        {
            // A call that the failing rank had joined may be finished by the others, which then fail at the next one.
            int[] places = inside ? [at, at + 1] : [at];
            if (!errors.TryGetValue(rank, out var error))
            {
                Assert.Contains(RankFaultProgram.Count, places);
                continue;
            }

            Assert.IsType<LostRankException>(error);
            Assert.Contains(
                error.Message,
                places
                    .Where(place => place < RankFaultProgram.Count)
                    .Select(RankFaultProgram.Place)
                    .Select(place =>
                        $"Rank {rank} of {Ranks}, {place.Label}: {place.Operation} was aborted, because rank {failing} "
                        + "failed: injected"
                    )
            );
        }
    }
}
