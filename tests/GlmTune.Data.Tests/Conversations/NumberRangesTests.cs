using CsCheck;
using GlmTune.Data.Conversations;

namespace GlmTune.Data.Tests.Conversations;

public class NumberRangesTests
{
    [Fact]
    public void Numbers_in_any_order_are_the_same_ranges() =>
        Gen.Int[0, 30]
            .Array[0, 40]
            .Sample(
                numbers =>
                {
                    var ranges = new NumberRanges();
                    Array.ForEach(numbers, ranges.Add);
                    Assert.Equal(
                        numbers.Distinct().Order(),
                        ranges.Ranges.SelectMany(range => Enumerable.Range(range.From, range.To - range.From + 1))
                    );
                    Assert.Equal(numbers.Distinct().Count(), ranges.Count);
                    Assert.All(
                        ranges.Ranges.Zip(ranges.Ranges.Skip(1)),
                        pair => Assert.True(pair.First.To + 1 < pair.Second.From)
                    );
                },
                iter: 2_000,
                seed: "0000KOIPe5I3"
            );
}
