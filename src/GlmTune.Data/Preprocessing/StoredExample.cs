using System.Runtime.InteropServices;
using GlmTune.Data.Templates;

namespace GlmTune.Data.Preprocessing;

/// <summary>The bytes of an example in memory and in files: 32-bit numbers in the machine's order.</summary>
/// <remarks>Five numbers (line, tokens before truncation, whether the end was lost, number of ids, number of ranges),
/// then the ids, then start and end of each supervised range.</remarks>
internal static class StoredExample
{
    private const int Numbers = 5;

    /// <summary>Size of an example in bytes.</summary>
    public static int SizeOf(TokenizedExample example) =>
        sizeof(int) * (Numbers + example.TokenIds.Length + (2 * example.Supervised.Count));

    /// <summary>Writes an example.</summary>
    /// <param name="example">The example.</param>
    /// <param name="bytes">Where to; <see cref="SizeOf"/> bytes.</param>
    public static void Write(TokenizedExample example, Span<byte> bytes)
    {
        var numbers = MemoryMarshal.Cast<byte, int>(bytes);
        numbers[0] = example.Line;
        numbers[1] = example.FullLength;
        numbers[2] = example.LostItsEnd ? 1 : 0;
        numbers[3] = example.TokenIds.Length;
        numbers[4] = example.Supervised.Count;
        example.TokenIds.CopyTo(numbers[Numbers..]);
        var at = Numbers + example.TokenIds.Length;
        foreach (var (start, end) in example.Supervised)
        {
            (numbers[at], numbers[at + 1]) = (start, end);
            at += 2;
        }
    }

    /// <summary>Reads an example.</summary>
    /// <exception cref="InvalidDataException">The bytes are not an example.</exception>
    public static TokenizedExample Read(ReadOnlySpan<byte> bytes)
    {
        var numbers = MemoryMarshal.Cast<byte, int>(bytes);
        if (
            numbers.Length < Numbers
            || numbers[3] < 0
            || numbers[4] < 0
            || numbers.Length != Numbers + (long)numbers[3] + (2L * numbers[4])
        )
        {
            throw new InvalidDataException("The stored rows are damaged: sizes do not match.");
        }

        var ids = numbers.Slice(Numbers, numbers[3]).ToArray();
        var ranges = new (int, int)[numbers[4]];
        for (var i = 0; i < ranges.Length; i++)
        {
            ranges[i] = (numbers[Numbers + ids.Length + (2 * i)], numbers[Numbers + ids.Length + (2 * i) + 1]);
        }

        return new TokenizedExample(ids, ranges)
        {
            Line = numbers[0],
            FullLength = numbers[1],
            LostItsEnd = numbers[2] != 0,
        };
    }
}
