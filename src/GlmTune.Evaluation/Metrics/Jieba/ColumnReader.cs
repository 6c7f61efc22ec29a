using System.Buffers.Binary;

namespace GlmTune.Evaluation.Metrics.Jieba;

/// <summary>Reads the numbers of the packed tables in sequence.</summary>
internal ref struct ColumnReader(ReadOnlySpan<byte> bytes)
{
    private ReadOnlySpan<byte> rest = bytes;

    /// <summary>An integer stored as 7 bits per byte, least significant first.</summary>
    public long ReadWhole()
    {
        long value = 0;
        for (var shift = 0; ; shift += 7)
        {
            var part = rest[0];
            rest = rest[1..];
            value |= (long)(part & 127) << shift;
            if (part < 128)
            {
                return value;
            }
        }
    }

    public double ReadReal()
    {
        var value = BinaryPrimitives.ReadDoubleLittleEndian(rest);
        rest = rest[8..];
        return value;
    }

    /// <summary>Ascending characters, each stored as the difference from the previous one.</summary>
    public void ReadRising(Span<char> characters)
    {
        long previous = 0;
        foreach (ref var character in characters)
        {
            previous += ReadWhole();
            character = (char)previous;
        }
    }
}
