using GlmTune.Data;

namespace GlmTune.SampleData;

/// <summary>Draws from a seeded <see cref="SplitMix64"/>, so that the data is the same on every machine.</summary>
internal sealed class SeededRandom(ulong seed)
{
    private SplitMix64 bits = new(seed);

    /// <summary>A number from 0 (inclusive) to <paramref name="end"/> (exclusive, at least 1).</summary>
    public int Next(int end)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(end, 1);
        return (int)(bits.Next() % (ulong)end); // the bias is below end / 2^64
    }

    /// <summary>A number from <paramref name="first"/> to <paramref name="last"/>, both inclusive.</summary>
    public int Between(int first, int last) => first + Next(last - first + 1);

    /// <summary>True with the given chance in a hundred.</summary>
    public bool Percent(int chance) => Next(100) < chance;

    /// <summary>One of <paramref name="items"/>, which must not be empty.</summary>
    public T Pick<T>(IReadOnlyList<T> items) => items[Next(items.Count)];

    /// <summary><paramref name="count"/> different places of <paramref name="items"/> (fewer when there are not so
    /// many), in random order.</summary>
    public List<T> Sample<T>(IReadOnlyList<T> items, int count)
    {
        var shuffled = Shuffle(items);
        return shuffled[..Math.Min(count, shuffled.Count)];
    }

    /// <summary>A copy of <paramref name="items"/> in random order (Fisher and Yates).</summary>
    public List<T> Shuffle<T>(IEnumerable<T> items)
    {
        List<T> shuffled = [.. items];
        for (var last = shuffled.Count - 1; last > 0; last--)
        {
            var other = Next(last + 1);
            (shuffled[last], shuffled[other]) = (shuffled[other], shuffled[last]);
        }

        return shuffled;
    }
}
