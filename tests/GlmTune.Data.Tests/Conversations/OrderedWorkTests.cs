using GlmTune.Data.Conversations;

namespace GlmTune.Data.Tests.Conversations;

public class OrderedWorkTests
{
    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(256)]
    [InlineData(5_000)]
    public void Results_are_in_the_order_of_the_items(int count) =>
        Assert.Equal(
            Enumerable.Range(0, count).Select(i => 2 * i),
            OrderedWork.Map(Enumerable.Range(0, count), 3, i => i % 7 * 100_000, i => 2 * i, CancellationToken.None)
        );

    [Fact]
    public void Only_a_few_batches_are_read_ahead()
    {
        var read = 0;
        IEnumerable<int> Endless()
        {
            while (true)
            {
                yield return read++;
            }
        }

        // Large items, so that each is a batch.
        var first = OrderedWork.Map(Endless(), 3, _ => 1 << 20, i => i, CancellationToken.None).Take(10).ToList();
        Assert.Equal(Enumerable.Range(0, 10), first);
        Assert.InRange(read, 10, 14);
    }

    [Fact]
    public void An_error_is_that_of_the_first_item_that_fails()
    {
        var error = Assert.Throws<InvalidDataException>(() =>
            OrderedWork
                .Map(
                    Enumerable.Range(0, 2_000),
                    2,
                    _ => 1,
                    i => i is 700 or 701 or 1_900 ? throw new InvalidDataException($"{i}") : i,
                    CancellationToken.None
                )
                .Sum()
        );
        Assert.Equal("700", error.Message);
    }
}
