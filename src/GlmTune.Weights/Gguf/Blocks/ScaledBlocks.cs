using System.Buffers.Binary;

namespace GlmTune.Weights.Gguf.Blocks;

/// <summary>Blocks of 32 values with one half-precision scale d: a value is d · q, with a signed integer q.</summary>
/// <remarks>In 4 and 5 bits, q is stored with an offset, so that the range has one more negative number than positive
/// ones: d is chosen such that the value of the largest magnitude becomes the most negative q, whatever its
/// sign.</remarks>
internal static class ScaledBlocks
{
    private const int Length = 32;

    /// <summary>Q8_0: the scale, then 32 bytes.</summary>
    public static void EncodeQ8(ReadOnlySpan<float> values, Span<byte> block)
    {
        var scale = Math.Abs(Extreme(values)) / 127;
        BinaryPrimitives.WriteHalfLittleEndian(block, (Half)scale);
        var inverse = Inverse(scale);
        for (var i = 0; i < Length; i++)
        {
            var q = MathF.Round(values[i] * inverse, MidpointRounding.AwayFromZero);
            block[2 + i] = (byte)(sbyte)Math.Clamp(q, -127, 127);
        }
    }

    /// <summary>Q4_0: the scale, then 16 bytes: value i in the low half of byte i, value i + 16 in the high
    /// half.</summary>
    public static void EncodeQ4(ReadOnlySpan<float> values, Span<byte> block)
    {
        var scale = Extreme(values) / -8;
        BinaryPrimitives.WriteHalfLittleEndian(block, (Half)scale);
        var inverse = Inverse(scale);
        for (var i = 0; i < Length / 2; i++)
        {
            var (low, high) = (Shifted(values[i] * inverse, 8, 15), Shifted(values[i + (Length / 2)] * inverse, 8, 15));
            block[2 + i] = (byte)(low | (high << 4));
        }
    }

    /// <summary>Q5_0: the scale, 4 bytes with the highest bits in the order of the values, then the lower 4 bits as in
    /// Q4_0.</summary>
    public static void EncodeQ5(ReadOnlySpan<float> values, Span<byte> block)
    {
        var scale = Extreme(values) / -16;
        BinaryPrimitives.WriteHalfLittleEndian(block, (Half)scale);
        var inverse = Inverse(scale);
        var highest = 0u;
        for (var i = 0; i < Length / 2; i++)
        {
            var (low, high) = (
                Shifted(values[i] * inverse, 16, 31),
                Shifted(values[i + (Length / 2)] * inverse, 16, 31)
            );
            block[6 + i] = (byte)((low & 15) | ((high & 15) << 4));
            highest |= ((uint)low >> 4) << i;
            highest |= ((uint)high >> 4) << (i + (Length / 2));
        }

        BinaryPrimitives.WriteUInt32LittleEndian(block[2..], highest);
    }

    // The value of the largest magnitude, with its sign.
    private static float Extreme(ReadOnlySpan<float> values)
    {
        var extreme = 0f;
        foreach (var value in values)
        {
            if (Math.Abs(value) > Math.Abs(extreme))
            {
                extreme = value;
            }
        }

        return extreme;
    }

    // A scale that half precision cannot hold is stored as zero, and so are the values.
    private static float Inverse(float scale) => (Half)scale == (Half)0 ? 0 : 1 / scale;

    private static int Shifted(float value, int offset, int largest) =>
        (int)Math.Clamp(MathF.Floor(value + offset + 0.5f), 0, largest);
}
