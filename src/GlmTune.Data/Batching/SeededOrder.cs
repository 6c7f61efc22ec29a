namespace GlmTune.Data.Batching;

/// <summary>Permutations that depend only on a seed: identical on every machine, rank and runtime version.</summary>
internal static class SeededOrder
{
    /// <summary>The numbers 0 … <paramref name="count"/> − 1 in an order determined by (<paramref name="seed"/>,
    /// <paramref name="stream"/>).</summary>
    public static int[] Permutation(int count, long seed, long stream)
    {
        var order = Enumerable.Range(0, count).ToArray();
        var random = SplitMix64.Of(seed, stream);
        for (var i = count - 1; i > 0; i--)
        {
            var j = (int)Below(ref random, (uint)i + 1);
            (order[i], order[j]) = (order[j], order[i]);
        }

        return order;
    }

    // Multiply-shift with rejection (Lemire, arXiv:1805.10941): all values are equally likely.
    private static uint Below(ref SplitMix64 random, uint bound)
    {
        while (true)
        {
            var product = (ulong)(uint)(random.Next() >> 32) * bound;
            if ((uint)product >= (uint)-bound % bound)
            {
                return (uint)(product >> 32);
            }
        }
    }
}
