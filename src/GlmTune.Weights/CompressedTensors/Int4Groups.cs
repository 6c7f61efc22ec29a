using System.Numerics;

namespace GlmTune.Weights.CompressedTensors;

/// <summary>Weights as symmetric 4-bit integers in groups of neighbors of a row that share a scale, in the packing of
/// compressed-tensors (<c>pack-quantized</c>).</summary>
/// <remarks>A value is its integer from −8 to 7 times the scale of its group. The integers, plus 8, fill words of 32
/// bits from the lowest bits up, eight in a word. Source: the compressed-tensors library's packed
/// compressor.</remarks>
internal static class Int4Groups
{
    /// <summary>Integers in a word.</summary>
    public const int PerWord = 8;

    private const int Lowest = -8;
    private const int Highest = 7;

    // A smaller scale rounds most values more finely and cuts off the largest: the best of these divisors of the
    // largest magnitude depends on the group.
    private const int Candidates = 25;
    private const float FirstDivisor = 6.8f;
    private const float DivisorStep = 0.15f;

    /// <summary>The sizes of groups that programs have kernels for, the usual one first.</summary>
    public static IReadOnlyList<int> Sizes { get; } = [128, 64, 32];

    /// <summary>Quantizes rows, in parallel: each group with the scale that makes the sum of its squared errors
    /// smallest, each value to the nearest integer.</summary>
    /// <param name="source">Address of the values, float32 [rows, columns], finite.</param>
    /// <param name="rows">Number of rows.</param>
    /// <param name="columns">Number of columns, a multiple of the group size.</param>
    /// <param name="groupSize">One of <see cref="Sizes"/>.</param>
    /// <param name="scaleType">Type in which scales are stored: float32, bfloat16 or float16.</param>
    /// <param name="packed">Receives the words, [rows, columns / 8].</param>
    /// <param name="scales">Receives the scales, [rows, columns / groupSize]; exact in their type.</param>
    /// <exception cref="ArgumentException">Sizes do not fit.</exception>
    public static unsafe void Encode(
        nint source,
        int rows,
        int columns,
        int groupSize,
        ElementType scaleType,
        Span<uint> packed,
        Span<float> scales
    )
    {
        var (words, groups) = (columns / PerWord, columns / groupSize);
        if (
            columns % groupSize != 0
            || !Sizes.Contains(groupSize)
            || packed.Length != rows * words
            || scales.Length != rows * groups
        )
        {
            throw new ArgumentException($"Rows of {columns} values have no groups of {groupSize}.", nameof(columns));
        }

        fixed (uint* firstWord = packed)
        fixed (float* firstScale = scales)
        {
            var (toWords, toScales) = ((nint)firstWord, (nint)firstScale);
            Parallel.For(
                0,
                rows,
                row =>
                {
                    var values = new ReadOnlySpan<float>((float*)source + ((long)row * columns), columns);
                    var rowWords = new Span<uint>((uint*)toWords + ((long)row * words), words);
                    var rowScales = new Span<float>((float*)toScales + ((long)row * groups), groups);
                    for (var group = 0; group < groups; group++)
                    {
                        var part = values.Slice(group * groupSize, groupSize);
                        rowScales[group] = BestScale(part, scaleType);
                        Pack(part, rowScales[group], rowWords.Slice(group * groupSize / PerWord, groupSize / PerWord));
                    }
                }
            );
        }
    }

    private static float BestScale(ReadOnlySpan<float> values, ElementType type)
    {
        var largest = 0f;
        foreach (var value in values)
        {
            largest = Math.Max(largest, Math.Abs(value));
        }

        var (best, least) = (StoredScale.Round(largest / FirstDivisor, type), float.PositiveInfinity);
        for (var i = 0; i < Candidates; i++)
        {
            var scale = StoredScale.Round(largest / (FirstDivisor + (i * DivisorStep)), type);
            var error = SquaredError(values, scale);
            if (error < least)
            {
                (best, least) = (scale, error);
            }
        }

        return best;
    }

    private static float SquaredError(ReadOnlySpan<float> values, float scale)
    {
        var sum = Vector<float>.Zero;
        var (factor, divisor) = (new Vector<float>(scale), new Vector<float>(scale));
        var (low, high) = (new Vector<float>(Lowest), new Vector<float>(Highest));
        for (var i = 0; i < values.Length; i += Vector<float>.Count)
        {
            var value = new Vector<float>(values[i..]);
            var error = value - (Vector.Min(Vector.Max(Vector.Round(value / divisor), low), high) * factor);
            sum += error * error;
        }

        return Vector.Sum(sum);
    }

    private static void Pack(ReadOnlySpan<float> values, float scale, Span<uint> words)
    {
        for (var word = 0; word < words.Length; word++)
        {
            var bits = 0u;
            for (var i = 0; i < PerWord; i++)
            {
                var integer = (int)Math.Clamp(MathF.Round(values[(word * PerWord) + i] / scale), Lowest, Highest);
                bits |= (uint)(integer - Lowest) << (4 * i);
            }

            words[word] = bits;
        }
    }
}
