using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Native;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Tests;

public class DropoutMaskTests
{
    public DropoutMaskTests() => NativeRuntime.Load();

    [Fact]
    public void Bits_never_change()
    {
        using var kept = DropoutMask.Kept(64, 0.5, 1234, CPU);
        var bits = kept.data<bool>().ToArray();
        var word = bits.Select((bit, i) => bit ? 1UL << i : 0).Aggregate((all, bit) => all | bit);
        Assert.Equal(15221194627006951932UL, word);
    }

    [Theory]
    [InlineData(0.1, 0)]
    [InlineData(0.25, -1)]
    [InlineData(0.9, long.MaxValue)]
    public void The_mask_is_the_hash_of_each_index(double probability, long seed)
    {
        using var kept = DropoutMask.Kept(5000, probability, seed, CPU);
        var expected = Enumerable.Range(0, 5000).Select(i => Hash((uint)i, seed) >= probability * 4294967296.0);
        Assert.Equal(expected, kept.data<bool>().ToArray());
    }

    [Theory]
    [InlineData(0L), InlineData((1L << 32) - 100), InlineData((5L << 40) + 7)]
    public void Beyond_32_bits_an_index_counts_by_its_lower_half_and_pieces_make_no_difference(long first)
    {
        using var kept = DropoutMask.Kept(first, 200, 0.3, 9, CPU, piece: 64);
        var expected = Enumerable.Range(0, 200).Select(i => Hash((uint)(first + i), 9) >= 0.3 * 4294967296.0);
        Assert.Equal(expected, kept.data<bool>().ToArray());
    }

    [Fact]
    public void Seeds_that_differ_in_either_half_give_other_keys()
    {
        long[] seeds = [0, 1, 1L << 32, (1L << 32) + 1, -1, long.MinValue];
        Assert.Equal(seeds.Length, seeds.Select(DropoutMask.Key).Distinct().Count());
    }

    [Fact]
    public void Neighbouring_elements_and_steps_are_independent()
    {
        using var scope = NewDisposeScope();
        var kept = DropoutMask.Kept(1 << 18, 0.5, 7, CPU).to(ScalarType.Float64).Add(-0.5);
        foreach (var distance in (int[])[1, 2, 4096, 4608])
        {
            var length = (1 << 18) - distance;
            var correlation = 4 * (kept.narrow(0, 0, length) * kept.narrow(0, distance, length)).mean().item<double>();
            Assert.InRange(correlation, -0.01, 0.01);
        }
    }

    // 32-bit words throughout, where the mask's own code works in 64-bit integers.
    private static uint Hash(uint index, long seed)
    {
        static uint Mix(uint h)
        {
            h = (h ^ (h >> 16)) * 0x85EBCA6B;
            h = (h ^ (h >> 13)) * 0xC2B2AE35;
            return h ^ (h >> 16);
        }

        return Mix((index * 0x9E3779B9) + Mix((uint)seed ^ Mix((uint)(seed >> 32) + 0x85EBCA6B)));
    }
}
