namespace GlmTune.Data;

/// <summary>A stream of random bits that is the same for a seed on every machine and every version of .NET, which
/// <see cref="Random"/> does not promise.</summary>
/// <remarks>A mutable value: copies go on from where they were made. Source: Steele, Lea, Flood, Fast splittable
/// pseudorandom number generators, OOPSLA 2014.</remarks>
/// <param name="state">Where the stream starts.</param>
internal struct SplitMix64(ulong state)
{
    private ulong state = state;

    /// <summary>A stream of its own for each pair of a seed and a number.</summary>
    public static SplitMix64 Of(long seed, long stream) => new(Mix((ulong)seed) ^ Mix(~(ulong)stream));

    /// <summary>The next 64 bits.</summary>
    public ulong Next() => Mix(state += 0x9E3779B97F4A7C15);

    /// <summary>The 64 bits that <see cref="Next"/> would return after <paramref name="count"/> others.</summary>
    public readonly ulong At(long count) => Mix(state + (((ulong)count + 1) * 0x9E3779B97F4A7C15));

    /// <summary>The next number in [0, 1), a multiple of 2⁻⁵³.</summary>
    public double NextUniform() => (Next() >> 11) * (1.0 / (1UL << 53));

    private static ulong Mix(ulong z)
    {
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }
}
