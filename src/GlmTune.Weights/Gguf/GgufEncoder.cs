using System.Runtime.InteropServices;
using GlmTune.Weights.Gguf.Blocks;

namespace GlmTune.Weights.Gguf;

/// <summary>Converts float32 values to the types of GGUF tensors.</summary>
internal static class GgufEncoder
{
    // Enough work for a thread to be worth waking.
    private const int ValuesPerTask = 1 << 14;

    private delegate void Encoding(ReadOnlySpan<float> values, Span<byte> bytes);

    /// <summary>Converts values; blocks are converted in parallel.</summary>
    /// <param name="type">Type to convert to.</param>
    /// <param name="source">Address of the values, float32, row-major.</param>
    /// <param name="count">Number of values: whole blocks.</param>
    /// <param name="target">Receives the blocks, of exactly their size.</param>
    /// <exception cref="ArgumentException">The number of values or the size of the target do not fit.</exception>
    public static unsafe void Encode(GgufType type, nint source, long count, Span<byte> target)
    {
        var (length, size) = (type.BlockLength(), type.BlockBytes());
        if (count % length != 0 || count / length * size != target.Length)
        {
            throw new ArgumentException($"{count} values of {type} do not fill {target.Length} bytes.", nameof(count));
        }

        var encode = EncodingOf(type);
        var blocks = count / length;
        var perTask = ValuesPerTask / length;
        fixed (byte* first = target)
        {
            var to = (nint)first;
            Parallel.For(
                0,
                (blocks + perTask - 1) / perTask,
                task =>
                {
                    var begin = task * perTask;
                    var number = (int)Math.Min(perTask, blocks - begin);
                    encode(
                        new ReadOnlySpan<float>((float*)source + (begin * length), number * length),
                        new Span<byte>((byte*)to + (begin * size), number * size)
                    );
                }
            );
        }
    }

    /// <summary>Converts values on the calling thread.</summary>
    /// <param name="type">Type to convert to.</param>
    /// <param name="values">The values, row-major: whole blocks.</param>
    /// <param name="target">Receives the blocks, of exactly their size.</param>
    /// <exception cref="ArgumentException">The number of values or the size of the target do not fit.</exception>
    public static void Encode(GgufType type, ReadOnlySpan<float> values, Span<byte> target)
    {
        if (
            values.Length % type.BlockLength() != 0
            || values.Length / type.BlockLength() * type.BlockBytes() != target.Length
        )
        {
            throw new ArgumentException(
                $"{values.Length} values of {type} do not fill {target.Length} bytes.",
                nameof(values)
            );
        }

        EncodingOf(type)(values, target);
    }

    /// <summary>The largest magnitude that a type can hold: half precision ends at 65,504, and so do scales of
    /// blocks.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is not one of the enumeration.</exception>
    public static double LargestOf(GgufType type) =>
        type switch
        {
            GgufType.F32 or GgufType.BF16 => float.MaxValue,
            GgufType.F16 => 65504,
            GgufType.Q8_0 => 65504.0 * 127,
            GgufType.Q4_0 => 65504.0 * 8,
            GgufType.Q5_0 => 65504.0 * 16,
            GgufType.Q4_K => 65504.0 * 63,
            GgufType.Q6_K => 65504.0 * 128,
            _ => throw new ArgumentOutOfRangeException(nameof(type), type, "Not a type of GGUF tensors."),
        };

    private static Encoding EncodingOf(GgufType type) =>
        type switch
        {
            GgufType.F32 => CopySingles,
            GgufType.F16 => ToHalves,
            GgufType.BF16 => ToBFloat16s,
            GgufType.Q4_0 => Each(type, ScaledBlocks.EncodeQ4),
            GgufType.Q5_0 => Each(type, ScaledBlocks.EncodeQ5),
            GgufType.Q8_0 => Each(type, ScaledBlocks.EncodeQ8),
            GgufType.Q4_K => Each(type, Q4KBlocks.Encode),
            GgufType.Q6_K => Each(type, Q6KBlocks.Encode),
            _ => throw new ArgumentOutOfRangeException(nameof(type), type, "Not a type of GGUF tensors."),
        };

    private static Encoding Each(GgufType type, Encoding block)
    {
        var (length, size) = (type.BlockLength(), type.BlockBytes());
        return (values, bytes) =>
        {
            for (var i = 0; i < values.Length / length; i++)
            {
                block(values.Slice(i * length, length), bytes.Slice(i * size, size));
            }
        };
    }

    private static void CopySingles(ReadOnlySpan<float> values, Span<byte> bytes) =>
        MemoryMarshal.AsBytes(values).CopyTo(bytes);

    private static void ToHalves(ReadOnlySpan<float> values, Span<byte> bytes)
    {
        var halves = MemoryMarshal.Cast<byte, Half>(bytes);
        for (var i = 0; i < values.Length; i++)
        {
            halves[i] = (Half)values[i];
        }
    }

    private static void ToBFloat16s(ReadOnlySpan<float> values, Span<byte> bytes)
    {
        var halves = MemoryMarshal.Cast<byte, ushort>(bytes);
        for (var i = 0; i < values.Length; i++)
        {
            halves[i] = ToBFloat16(values[i]);
        }
    }

    // Rounds to nearest, ties to even; the values are finite.
    private static ushort ToBFloat16(float value)
    {
        var bits = BitConverter.SingleToUInt32Bits(value);
        return (ushort)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
    }
}
