using static TorchSharp.torch;

namespace GlmTune.Kernels.Definitions;

/// <summary>Random 32-bit words that follow from an element's index and a key, so that every device, and a
/// recomputation, draws the same.</summary>
/// <remarks>finalizer(low 32 bits of index · 0x9E3779B9 + key) on 32-bit words. The finalizer is MurmurHash3's
/// (Appleby, public domain, "fmix32"). Elements 2³² apart draw the same word.</remarks>
internal static class PositionHash
{
    private const long Word = 0xFFFFFFFF;

    /// <summary>Factor of an index.</summary>
    internal const uint Spread = 0x9E3779B9;

    /// <summary>The word of one index.</summary>
    public static uint Of(uint index, uint key) => Mix(unchecked((index * Spread) + key));

    /// <summary>The words of indices [first, first + count): int64 [count], each from 0 to 2³² − 1; in the caller's
    /// dispose scope.</summary>
    /// <param name="first">The first index.</param>
    /// <param name="count">Number of indices.</param>
    /// <param name="key">An int64 scalar or [1] on the device, of which the low 32 bits count.</param>
    public static Tensor Of(long first, long count, Tensor key)
    {
        using var scope = NewDisposeScope();
        // What a product loses beyond 64 bits is beyond the 32 bits that matter.
        var hash = TensorCreation.Range(first, first + count, device: key.device).MultiplyInPlace((long)Spread);
        return Mix(hash.AddInPlace(key).bitwise_and_(Word)).MoveToOuterDisposeScope();
    }

    /// <summary>The finalizer.</summary>
    public static uint Mix(uint h)
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
        h = h.Multiply(0x85EBCA6BL).bitwise_and_(Word);
        h = h.bitwise_xor(h.bitwise_right_shift(13));
        h = h.Multiply(0xC2B2AE35L).bitwise_and_(Word);
        return h.bitwise_xor(h.bitwise_right_shift(16));
    }
}
