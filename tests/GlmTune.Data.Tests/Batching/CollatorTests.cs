using CsCheck;
using GlmTune.Data.Batching;

namespace GlmTune.Data.Tests.Batching;

public class CollatorTests
{
    [Fact]
    public void Rows_are_padded_on_the_left_to_the_longest()
    {
        var batch = Collator.Pad(Some.Examples(3, 5), [8, 2], paddingId: 7);
        Assert.Equal((2, 5), (batch.Rows, batch.Length));
        Assert.Equal([7, 7, 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1007], batch.TokenIds);
        Assert.Equal([-100, -100, -100, -100, 1002, -100, -100, -100, -100, 1007], batch.Labels);
        Assert.Equal([0, 0, 0, 1, 2, 0, 1, 2, 3, 4], batch.Positions);
        Assert.Equal([2, 0], batch.Padding);
        Assert.Equal([8, 2], batch.Examples);
        Assert.Null(batch.SequenceStarts);
        Assert.Equal((2, 8), (batch.SupervisedTokens, batch.RealTokens));
    }

    [Fact]
    public void Every_row_is_its_example_behind_padding() =>
        Some.Lengths.Sample(
            lengths =>
            {
                var examples = Some.Examples(lengths);
                var batch = Collator.Pad(examples, [.. Enumerable.Range(0, lengths.Length)], paddingId: 7);
                for (var row = 0; row < batch.Rows; row++)
                {
                    var (start, end) = ((row * batch.Length) + batch.Padding[row], (row + 1) * batch.Length);
                    Assert.Equal(examples[row].TokenIds, batch.TokenIds[start..end]);
                    Assert.Equal(examples[row].Labels(), batch.Labels[start..end]);
                    Assert.Equal(Enumerable.Range(0, lengths[row]), batch.Positions[start..end]);
                    Assert.All(batch.TokenIds[(row * batch.Length)..start], id => Assert.Equal(7, id));
                    Assert.All(
                        batch.Labels[(row * batch.Length)..start],
                        label => Assert.Equal(MicroBatch.Ignored, label)
                    );
                }

                Assert.Equal(batch.Labels.Count(label => label != MicroBatch.Ignored), batch.SupervisedTokens);
            },
            iter: 200,
            seed: "0000KOIPe5I3"
        );

    [Fact]
    public void A_filler_teaches_nothing()
    {
        var filler = Collator.Filler(paddingId: 7);
        Assert.All(filler.Labels, label => Assert.Equal(MicroBatch.Ignored, label));
        Assert.Equal(0, filler.SupervisedTokens);
        Assert.Empty(filler.Examples);
    }

    [Fact]
    public void No_example_or_another_number_of_indices_is_refused()
    {
        Assert.Throws<ArgumentException>(() => Collator.Pad([], [], 0));
        Assert.Throws<ArgumentException>(() => Collator.Pad(Some.Examples(3), [1, 2], 0));
        Assert.Throws<ArgumentException>(() => Packer.Pack([], []));
        Assert.Throws<ArgumentException>(() => Packer.Pack(Some.Examples(3), []));
    }
}
