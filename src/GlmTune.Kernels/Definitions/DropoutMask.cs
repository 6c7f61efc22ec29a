using static TorchSharp.torch;

namespace GlmTune.Kernels.Definitions;

/// <summary>Determines which elements dropout keeps: a hash of seed and index, so that every device, and a
/// recomputation, produces the same mask.</summary>
/// <remarks>The word of <see cref="PositionHash"/>, with a key that mixes both halves of the seed; kept if it is at
/// least probability · 2³². Elements 2³² apart are therefore kept or dropped together.</remarks>
internal static class DropoutMask
{
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
        return PositionHash
            .Of(first, count, seed.KeyOn(device))
            .GreaterOrEqual(Threshold(probability))
            .MoveToOuterDisposeScope();
    }

    /// <summary>The 32-bit key derived from a seed.</summary>
    public static uint Key(long seed) =>
        PositionHash.Mix((uint)seed ^ PositionHash.Mix((uint)((ulong)seed >> 32) + 0x85EBCA6B));

    /// <summary>Elements with a hash below this are dropped.</summary>
    public static uint Threshold(double probability) => (uint)(probability * 4294967296.0);
}
