namespace GlmTune.Constraints;

/// <summary>A set of byte values.</summary>
internal readonly record struct ByteSet(ulong Bits0, ulong Bits1, ulong Bits2, ulong Bits3)
{
    public bool Contains(byte value) =>
        (
            (
                (value >> 6) switch
                {
                    0 => Bits0,
                    1 => Bits1,
                    2 => Bits2,
                    _ => Bits3,
                } >> (value & 63)
            ) & 1
        ) != 0;

    /// <summary>A single value.</summary>
    public static ByteSet Of(byte value) => Range(value, value);

    /// <summary>All values in a range, both ends included.</summary>
    public static ByteSet Range(int first, int last)
    {
        Span<ulong> bits = stackalloc ulong[4];
        for (var value = first; value <= last; value++)
        {
            bits[value >> 6] |= 1UL << (value & 63);
        }

        return new ByteSet(bits[0], bits[1], bits[2], bits[3]);
    }

    /// <summary>A set of ASCII characters.</summary>
    public static ByteSet AnyOf(string characters) =>
        characters.Aggregate(default(ByteSet), (set, c) => set | Of((byte)c));

    public static ByteSet operator |(ByteSet a, ByteSet b) =>
        new(a.Bits0 | b.Bits0, a.Bits1 | b.Bits1, a.Bits2 | b.Bits2, a.Bits3 | b.Bits3);

    public static ByteSet operator -(ByteSet a, ByteSet b) =>
        new(a.Bits0 & ~b.Bits0, a.Bits1 & ~b.Bits1, a.Bits2 & ~b.Bits2, a.Bits3 & ~b.Bits3);
}
