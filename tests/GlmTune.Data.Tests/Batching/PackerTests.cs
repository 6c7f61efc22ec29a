using CsCheck;
using GlmTune.Data.Batching;

namespace GlmTune.Data.Tests.Batching;

public class PackerTests
{
    [Fact]
    public void Sequences_stand_back_to_back_and_positions_restart()
    {
        var batch = Packer.Pack(Some.Examples(3, 4), [5, 1]);
        Assert.Equal((1, 7), (batch.Rows, batch.Length));
        Assert.Equal([1000, 1001, 1002, 1003, 1004, 1005, 1006], batch.TokenIds);
        Assert.Equal([-100, -100, 1002, -100, -100, -100, 1006], batch.Labels);
        Assert.Equal([0, 1, 2, 0, 1, 2, 3], batch.Positions);
        Assert.Equal([0, 3, 7], batch.SequenceStarts!);
        Assert.Equal([0], batch.Padding);
        Assert.Equal([5, 1], batch.Examples);
        Assert.Equal((2, 7), (batch.SupervisedTokens, batch.RealTokens));
    }

    [Fact]
    public void The_first_label_of_every_sequence_is_ignored() =>
        Some.Lengths.Sample(
            lengths =>
            {
                var batch = Packer.Pack(Some.Examples(lengths), [.. Enumerable.Range(0, lengths.Length)]);
                Assert.All(batch.SequenceStarts![..^1], start => Assert.Equal(MicroBatch.Ignored, batch.Labels[start]));
                Assert.Equal(batch.Labels.Count(label => label != MicroBatch.Ignored), batch.SupervisedTokens);
            },
            iter: 200,
            seed: "0000KOIPe5I3"
        );

    [Fact]
    public void Grouping_keeps_every_example_once_and_every_row_within_its_capacity() =>
        Gen.Select(Gen.Int[1, 50].Array[0, 300], Gen.Int[50, 200])
            .Sample(
                (tokens, capacity) =>
                {
                    var rows = Packer.Group(tokens.Select((count, index) => (index, count)), capacity);
                    Assert.Equal(Enumerable.Range(0, tokens.Length), rows.SelectMany(row => row).Order());
                    Assert.All(rows, row => Assert.InRange(row.Sum(index => tokens[index]), 1, capacity));
                },
                iter: 300,
                seed: "0000KOIPe5I3"
            );

    [Fact]
    public void Grouping_is_first_fit_decreasing() =>
        Gen.Select(Gen.Int[1, 50].Array[0, 120], Gen.Int[50, 120])
            .Sample(
                (tokens, capacity) =>
                    Assert.Equal(
                        ByDefinition(tokens, capacity),
                        Packer.Group(tokens.Select((count, index) => (index, count)), capacity)
                    ),
                iter: 300,
                seed: "0000KOIPe5I3"
            );

    [Fact]
    public void Short_examples_leave_almost_no_room_unused()
    {
        var tokens = Enumerable.Range(0, 4096).Select(i => 57 + (i * 7919 % 166)).ToArray(); // AdvertiseGen's lengths
        var rows = Packer.Group(tokens.Select((count, index) => (index, count)), 4096);
        Assert.True(tokens.Sum() >= 0.99 * rows.Count * 4096);
    }

    [Fact]
    public void An_example_longer_than_a_row_is_named()
    {
        var error = Assert.Throws<ArgumentException>(() => Packer.Group([(3, 10), (4, 11)], 10));
        Assert.Contains("Example 4 has 11 tokens", error.Message, StringComparison.Ordinal);
    }

    private static List<List<int>> ByDefinition(int[] tokens, int capacity)
    {
        var rows = new List<List<int>>();
        foreach (var index in Enumerable.Range(0, tokens.Length).OrderByDescending(index => tokens[index]))
        {
            var row = rows.Find(row => row.Sum(other => tokens[other]) + tokens[index] <= capacity);
            if (row is null)
            {
                rows.Add(row = []);
            }

            row.Add(index);
        }

        return rows;
    }
}
