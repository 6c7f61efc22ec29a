using static TorchSharp.torch;

namespace GlmTune.Kernels;

/// <summary>Which elements dropout keeps: a hash of seed and index, so that any device, and a recomputation, draws the same mask.</summary>
/// <remarks>
/// h = finalizer(low 32 bits of index · 0x9E3779B9 + key) on 32-bit words, where key mixes both halves of the seed and the index's
/// upper half; kept where h ≥ probability · 2³². The finalizer is MurmurHash3's (Appleby, public domain, "fmix32").
/// </remarks>
public static class DropoutMask
{
    private const long Word = 0xFFFFFFFF;

    /// <summary>True where an element is kept, [count].</summary>
    /// <exception cref="ArgumentOutOfRangeException">There are 2³² elements or more.</exception>
    public static Tensor Kept(long count, double probability, MaskSeed seed, Device device)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(count, 1L << 32);
        using var scope = NewDisposeScope();
        var hash = arange(count, dtype: ScalarType.Int64, device: device).mul_(0x9E3779B9L);
        hash = seed.Stored is null ? hash.add_(Key(seed.Value)) : hash.add_(seed.Stored.to_type(ScalarType.Int64));
        hash = Mix(hash.bitwise_and_(Word));
        return hash.ge(Threshold(probability)).MoveToOuterDisposeScope();
    }

    /// <summary>The 32-bit key that stands for a seed.</summary>
    public static uint Key(long seed) => Mix((uint)seed ^ Mix((uint)((ulong)seed >> 32) + 0x85EBCA6B));

    /// <summary>Elements whose hash is below this are dropped.</summary>
    public static uint Threshold(double probability) => (uint)(probability * 4294967296.0);

    private static uint Mix(uint h)
    {
        h ^= h >> 16;
        h *= 0x85EBCA6B;
        h ^= h >> 13;
        h *= 0xC2B2AE35;
        return h ^ (h >> 16);
    }

    // In 64-bit integers: products of 32-bit words overflow the sign, which the mask removes again.
    private static Tensor Mix(Tensor h)
    {
        h = h.bitwise_xor(h.bitwise_right_shift(16));
        h = h.mul(0x85EBCA6BL).bitwise_and_(Word);
        h = h.bitwise_xor(h.bitwise_right_shift(13));
        h = h.mul(0xC2B2AE35L).bitwise_and_(Word);
        return h.bitwise_xor(h.bitwise_right_shift(16));
    }
}
