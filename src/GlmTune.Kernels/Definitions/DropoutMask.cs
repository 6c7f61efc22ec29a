using static TorchSharp.torch;

namespace GlmTune.Kernels.Definitions;

/// <summary>Determines which elements dropout keeps: a hash of seed and index, so that every device, and a
/// recomputation, produces the same mask.</summary>
/// <remarks>h = finalizer(low 32 bits of index · 0x9E3779B9 + key) on 32-bit words, where key mixes both halves of the
/// seed; kept if h ≥ probability · 2³². Elements 2³² apart are therefore kept or dropped together. The finalizer is
/// MurmurHash3's (Appleby, public domain, "fmix32").</remarks>
internal static class DropoutMask
{
    private const long Word = 0xFFFFFFFF;

    // Number of elements hashed at a time; each takes 8 bytes, and as much again for temporaries.
    private const long Piece = 1 << 26;

    /// <summary>Mask, [count]: true where an element is kept.</summary>
    public static Tensor Kept(long count, double probability, MaskSeed seed, Device device) =>
        Kept(0, count, probability, seed, device, Piece);

    /// <summary>The mask of a run of elements, computed in pieces.</summary>
    internal static Tensor Kept(long first, long count, double probability, MaskSeed seed, Device device, long piece)
    {
        if (count <= piece)
        {
            return OfPiece(first, count, probability, seed, device);
        }

        using var scope = NewDisposeScope();
        var all = empty(count, ScalarType.Bool, device);
        for (long from = 0; from < count; from += piece)
        {
            using var part = NewDisposeScope();
            var length = Math.Min(piece, count - from);
            all.narrow(0, from, length).copy_(OfPiece(first + from, length, probability, seed, device));
        }

        return all.MoveToOuterDisposeScope();
    }

    private static Tensor OfPiece(long first, long count, double probability, MaskSeed seed, Device device)
    {
        using var scope = NewDisposeScope();
        // What a product loses beyond 64 bits is beyond the 32 bits that matter.
        var hash = TensorCreation.Range(first, first + count, device: device).MultiplyInPlace(0x9E3779B9L);
        hash = seed.Stored is null
            ? hash.AddInPlace(Key(seed.Value))
            : hash.AddInPlace(seed.Stored.to_type(ScalarType.Int64));
        hash = Mix(hash.bitwise_and_(Word));
        return hash.GreaterOrEqual(Threshold(probability)).MoveToOuterDisposeScope();
    }

    /// <summary>The 32-bit key derived from a seed.</summary>
    public static uint Key(long seed) => Mix((uint)seed ^ Mix((uint)((ulong)seed >> 32) + 0x85EBCA6B));

    /// <summary>Elements with a hash below this are dropped.</summary>
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
        h = h.Multiply(0x85EBCA6BL).bitwise_and_(Word);
        h = h.bitwise_xor(h.bitwise_right_shift(13));
        h = h.Multiply(0xC2B2AE35L).bitwise_and_(Word);
        return h.bitwise_xor(h.bitwise_right_shift(16));
    }
}
