using System.Buffers.Binary;

namespace GlmTune.Evaluation.Metrics.Jieba;

/// <summary>Reads the numbers of the packed tables, one after another.</summary>
internal ref struct ColumnReader(ReadOnlySpan<byte> bytes)
{
    private ReadOnlySpan<byte> rest = bytes;

    /// <summary>A whole number, 7 bits a byte, least first.</summary>
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

    /// <summary>Rising characters, each stored as the distance from the one before.</summary>
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
