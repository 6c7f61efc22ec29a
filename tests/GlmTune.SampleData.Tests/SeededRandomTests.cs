namespace GlmTune.SampleData;

public sealed class SeededRandomTests
{
    [Fact]
    public void Numbers_are_those_published_for_the_seed()
    {
        var random = new SeededRandom(1234567);
        ulong[] published =
        [
            6457827717110365317,
            3203168211198807973,
            9817491932198370423,
            4593380528125082431,
            16408922859458223821,
        ];

        Assert.Equal(
            published.Select(bits => (int)(bits % int.MaxValue)),
            published.Select(_ => random.Next(int.MaxValue))
        );
    }

    [Fact]
    public void A_shuffle_keeps_every_item_once()
    {
        var shuffled = new SeededRandom(5).Shuffle(Enumerable.Range(0, 100));

        Assert.NotEqual(Enumerable.Range(0, 100), shuffled);
        Assert.Equal(Enumerable.Range(0, 100), shuffled.Order());
    }

    [Fact]
    public void A_sample_has_no_item_twice_and_no_more_than_there_are()
    {
        var random = new SeededRandom(6);

        Assert.Distinct(random.Sample([1, 2, 3, 4, 5], 3));
        Assert.Equal([1, 2], random.Sample([1, 2], 3).Order());
    }
}
