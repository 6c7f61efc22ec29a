namespace GlmTune.Data.Tests;

public class SplitMix64Tests
{
    [Fact]
    public void The_stream_of_a_seed_is_the_published_one()
    {
        // The first outputs of the authors' C program for the state 1234567.
        var random = new SplitMix64(1234567);
        Assert.Equal(
            [6457827717110365317UL, 3203168211198807973UL, 9817491932198370423UL, 4593380528125082431UL],
            [random.Next(), random.Next(), random.Next(), random.Next()]
        );
    }

    [Fact]
    public void Streams_of_one_seed_differ_and_repeat()
    {
        var (first, again, other) = (SplitMix64.Of(7, 0), SplitMix64.Of(7, 0), SplitMix64.Of(7, 1));
        var numbers = Enumerable.Range(0, 100).Select(_ => first.NextUniform()).ToArray();
        Assert.Equal(numbers, Enumerable.Range(0, 100).Select(_ => again.NextUniform()));
        Assert.Empty(numbers.Intersect(Enumerable.Range(0, 100).Select(_ => other.NextUniform())));
        Assert.All(numbers, number => Assert.InRange(number, 0, 1 - 1e-16));
    }
}
