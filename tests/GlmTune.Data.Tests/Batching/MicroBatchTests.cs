using CsCheck;
using GlmTune.Data.Batching;

namespace GlmTune.Data.Tests.Batching;

public class MicroBatchTests
{
    [Fact]
    public void Sequences_stand_back_to_back()
    {
        var batch = MicroBatch.Of(Some.Examples(3, 4), [5, 1]);
        Assert.Equal([1000, 1001, 1002, 1003, 1004, 1005, 1006], batch.TokenIds);
        Assert.Equal([-100, -100, 1002, -100, -100, -100, 1006], batch.Labels);
        Assert.Equal([0, 3, 7], batch.SequenceStarts);
        Assert.Equal([5, 1], batch.Examples);
        Assert.Equal(2, batch.SupervisedTokens);
    }

    [Fact]
    public void Every_sequence_is_its_example_and_begins_without_a_label() =>
        Some.Lengths.Sample(
            lengths =>
            {
                var examples = Some.Examples(lengths);
                var batch = MicroBatch.Of(examples, [.. Enumerable.Range(0, lengths.Length)]);
                Assert.Equal((0, lengths.Sum()), (batch.SequenceStarts[0], batch.SequenceStarts[^1]));
                for (var row = 0; row < lengths.Length; row++)
                {
                    var (start, end) = (batch.SequenceStarts[row], batch.SequenceStarts[row + 1]);
                    Assert.Equal(examples[row].TokenIds, batch.TokenIds[start..end]);
                    Assert.Equal(examples[row].Labels(), batch.Labels[start..end]);
                    Assert.Equal(MicroBatch.Ignored, batch.Labels[start]);
                }

                Assert.Equal(batch.Labels.Count(label => label != MicroBatch.Ignored), batch.SupervisedTokens);
            },
            iter: 200,
            seed: "0000KOIPe5I3"
        );

    [Fact]
    public void A_filler_teaches_nothing()
    {
        var filler = MicroBatch.Filler(paddingId: 7);
        Assert.Equal([7, 7], filler.TokenIds);
        Assert.All(filler.Labels, label => Assert.Equal(MicroBatch.Ignored, label));
        Assert.Equal([0, 2], filler.SequenceStarts);
        Assert.Equal(0, filler.SupervisedTokens);
        Assert.Empty(filler.Examples);
    }

    [Fact]
    public void No_example_or_another_number_of_indices_is_refused()
    {
        Assert.Throws<ArgumentException>(() => MicroBatch.Of([], []));
        Assert.Throws<ArgumentException>(() => MicroBatch.Of(Some.Examples(3), [1, 2]));
        Assert.Throws<ArgumentException>(() => MicroBatch.Of(Some.Examples(3), []));
    }
}
