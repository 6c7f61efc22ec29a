using System.Buffers.Binary;
using System.Runtime.Intrinsics;

namespace GlmTune.Weights.Gguf.Blocks;

/// <summary>Q6_K: blocks of 256 values in 16 groups of 16. A value is d · s · q, with an integer q from −32 to 31, a
/// signed byte s for each group, and d, in half precision, for the block.</summary>
/// <remarks>Bytes: 128 with the lower 4 bits of q + 32, 64 with the upper 2 bits, 16 with s, then d. Each half of the
/// block has half of the bytes: with value i of it as i = 32 k + j, byte 32 (k mod 2) + j holds the lower bits, in its
/// upper half from k = 2 on, and byte j holds the upper bits, from bit 2 k on. The scale of a group minimises the
/// weighted squared error among several roundings.</remarks>
internal static class Q6KBlocks
{
    private const int Groups = 16;
    private const int GroupLength = 16;
    private const int Lowest = -32;
    private const int Highest = 31;

    // Roundings are tried with the largest magnitude mapped to 31.1 to 32.9.
    private const int Trials = 19;
    private const float FirstMagnitude = 31.1f;
    private const float MagnitudeBetween = 0.1f;

    /// <summary>Encodes one block.</summary>
    public static void Encode(ReadOnlySpan<float> values, Span<byte> block)
    {
        Span<float> scales = stackalloc float[Groups];
        var extreme = 0f;
        for (var group = 0; group < Groups; group++)
        {
            scales[group] = Fit(values.Slice(group * GroupLength, GroupLength));
            extreme = Math.Abs(scales[group]) > Math.Abs(extreme) ? scales[group] : extreme;
        }

        block.Clear();
        var unit = (Half)(extreme / -128);
        BinaryPrimitives.WriteHalfLittleEndian(block[208..], unit);
        for (var group = 0; group < Groups; group++)
        {
            var step =
                (float)unit == 0 ? 0 : (int)Math.Clamp(MathF.Round(scales[group] / (float)unit), sbyte.MinValue, 127);
            block[192 + group] = (byte)(sbyte)step;
            var inverse = step == 0 ? 0 : 1 / ((float)unit * step);
            for (var i = group * GroupLength; i < (group + 1) * GroupLength; i++)
            {
                var q = (int)Math.Clamp(MathF.Round(values[i] * inverse), Lowest, Highest) - Lowest;
                var (half, part, lane) = (i / 128, i % 128 / 32, i % 32);
                block[(64 * half) + (32 * (part % 2)) + lane] |= (byte)((q & 15) << (4 * (part / 2)));
                block[128 + (32 * half) + lane] |= (byte)((q >> 4) << (2 * part));
            }
        }
    }

    private static float Fit(ReadOnlySpan<float> values)
    {
        var extreme = 0f;
        foreach (var value in values)
        {
            extreme = Math.Abs(value) > Math.Abs(extreme) ? value : extreme;
        }

        if (extreme == 0)
        {
            return 0;
        }

        // The squared error that is left for a rounding is the sum of w · x², less (Σ w·x·q)² / Σ w·q².
        var (best, most) = (0f, 0.0);
        for (var trial = 0; trial < Trials; trial++)
        {
            var factor = -(FirstMagnitude + (MagnitudeBetween * trial)) / extreme;
            var (products, squares) = (Vector256<float>.Zero, Vector256<float>.Zero);
            for (var i = 0; i < GroupLength; i += Lanes.Count)
            {
                var x = Lanes.At(values, i) / Vector256.Create(Math.Abs(extreme));
                var q = Lanes.Rounded(Lanes.At(values, i), factor, Lowest, Highest);
                var wq = x * x * q; // large values matter more
                products += wq * x;
                squares += wq * q;
            }

            double product = Vector256.Sum(products),
                square = Vector256.Sum(squares);
            if (square > 0 && product * product > most * square)
            {
                most = product * product / square;
                best = (float)(product / square * Math.Abs(extreme));
            }
        }

        return best;
    }
}
