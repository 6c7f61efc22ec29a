using System.Buffers.Binary;

namespace GlmTune.Weights.CompressedTensors;

/// <summary>Scales in the type of a model's weights.</summary>
internal static class StoredScale
{
    /// <summary>The nearest number of a type, and at least its smallest positive one, so that a division by it is
    /// defined.</summary>
    /// <param name="scale">Not negative, finite.</param>
    /// <param name="type">float32, bfloat16 or float16.</param>
    /// <exception cref="ArgumentOutOfRangeException">Scales have no such type.</exception>
    public static float Round(float scale, ElementType type) =>
        type switch
        {
            // Normal numbers, which no processor takes for zero.
            ElementType.F32 => Math.Max(scale, 1.1754944e-38f),
            ElementType.BF16 => BitConverter.UInt32BitsToSingle(
                (uint)BFloat16Bits(Math.Max(scale, 1.1754944e-38f)) << 16
            ),
            ElementType.F16 => Math.Max((float)(Half)scale, (float)Half.Epsilon),
            _ => throw new ArgumentOutOfRangeException(nameof(type), type, "Not a type of scales."),
        };

    /// <summary>Writes scales in a type, little-endian.</summary>
    /// <param name="scales">Exact in the type.</param>
    /// <param name="type">float32, bfloat16 or float16.</param>
    /// <returns>The bytes.</returns>
    public static byte[] Bytes(ReadOnlySpan<float> scales, ElementType type)
    {
        var size = type.ByteSize();
        var bytes = new byte[scales.Length * size];
        for (var i = 0; i < scales.Length; i++)
        {
            var to = bytes.AsSpan(i * size);
            switch (type)
            {
                case ElementType.F32:
                    BinaryPrimitives.WriteSingleLittleEndian(to, scales[i]);
                    break;
                case ElementType.BF16:
                    BinaryPrimitives.WriteUInt16LittleEndian(to, BFloat16Bits(scales[i]));
                    break;
                default:
                    BinaryPrimitives.WriteHalfLittleEndian(to, (Half)scales[i]);
                    break;
            }
        }

        return bytes;
    }

    // Of two that are equally near, the even one.
    private static ushort BFloat16Bits(float value)
    {
        var bits = BitConverter.SingleToUInt32Bits(value);
        return (ushort)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
    }
}
