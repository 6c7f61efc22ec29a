using CsCheck;
using GlmTune.Data.Batching;

namespace GlmTune.Data.Tests.Batching;

public class PackerTests
{
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
