using GlmTune.Data.Batching;

namespace GlmTune.Data.Tests.Batching;

public class SampleLengthsTests
{
    [Fact]
    public void AdvertiseGens_rows_have_the_mean_lengths_that_the_data_has()
    {
        var examples = SampleLengths.AdvertiseGen(8000, 1000, seed: 3);
        Assert.Equal(116, examples.Average(example => example.TokenIds.Length), 2.0);
        Assert.Equal(75, examples.Average(example => example.SupervisedTokens), 2.0);
        Assert.InRange(examples.Max(example => example.TokenIds.Length), 200, 260);
        Assert.Equal(
            examples.Select(example => example.TokenIds.Length),
            SampleLengths.AdvertiseGen(8000, 1000, seed: 3).Select(example => example.TokenIds.Length)
        );
    }

    [Theory, InlineData(641), InlineData(2048), InlineData(8192)]
    public void Packing_leaves_less_than_three_percent_of_them_empty(int limit)
    {
        var batches = new TrainingBatches(
            SampleLengths.AdvertiseGen(8000, 1000, seed: 3),
            new BatchOptions { PackedTokens = limit },
            paddingId: 0
        );
        Assert.InRange(batches.Packing.Efficiency, 0.97, 1);
        Assert.Equal(batches.Packing.MicroBatches, batches.StepsIn(0));
    }
}
