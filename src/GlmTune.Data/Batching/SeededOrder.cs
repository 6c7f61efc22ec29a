namespace GlmTune.Data.Batching;

/// <summary>Permutations that depend only on a seed: identical on every machine, rank and runtime version.</summary>
internal static class SeededOrder
{
    /// <summary>The numbers 0 … <paramref name="count"/> − 1 in an order determined by (<paramref name="seed"/>,
    /// <paramref name="stream"/>).</summary>
    public static int[] Permutation(int count, long seed, long stream)
    {
        var order = Enumerable.Range(0, count).ToArray();
        var state = Mix((ulong)seed) ^ Mix(~(ulong)stream);
        for (var i = count - 1; i > 0; i--)
        {
            var j = (int)Below(ref state, (uint)i + 1);
            (order[i], order[j]) = (order[j], order[i]);
        }

        return order;
    }

    // Multiply-shift with rejection (Lemire, arXiv:1805.10941): all values are equally likely.
    private static uint Below(ref ulong state, uint bound)
    {
        while (true)
        {
            var product = (ulong)(uint)(Next(ref state) >> 32) * bound;
            if ((uint)product >= (uint)-bound % bound)
            {
                return (uint)(product >> 32);
            }
        }
    }

    // SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014).
    private static ulong Next(ref ulong state) => Mix(state += 0x9E3779B97F4A7C15);

    private static ulong Mix(ulong z)
    {
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }
}
