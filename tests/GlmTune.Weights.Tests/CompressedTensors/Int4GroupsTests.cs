using System.Runtime.InteropServices;

namespace GlmTune.Weights.CompressedTensors;

public sealed class Int4GroupsTests
{
    [Theory]
    [InlineData(128, ElementType.BF16)]
    [InlineData(64, ElementType.F32)]
    [InlineData(32, ElementType.F16)]
    public void Every_value_is_the_nearest_multiple_of_its_groups_scale(int groupSize, object type)
    {
        const int Rows = 3;
        var columns = 4 * groupSize;
        var values = Values(Rows * columns, seed: groupSize);
        var (words, scales) = Encode(values, Rows, columns, groupSize, (ElementType)type);
        for (var i = 0; i < values.Length; i++)
        {
            // Eight in a word, from the lowest bits up, plus eight.
            var integer = (int)((words[i / 8] >> (4 * (i % 8))) & 15) - 8;
            var exact = values[i] / (double)scales[i / groupSize];
            Assert.InRange(Math.Abs(Math.Clamp(exact, -8, 7) - integer), 0, 0.5 + 1e-6);
        }
    }

    [Fact]
    public void The_scale_has_a_smaller_error_than_that_of_the_largest_magnitude()
    {
        var values = Values(64 * 128, seed: 5);
        var (_, scales) = Encode(values, 64, 128, 128, ElementType.F32);
        var (ours, plain) = (0.0, 0.0);
        for (var row = 0; row < 64; row++)
        {
            var group = values[(row * 128)..((row + 1) * 128)];
            ours += SquaredError(group, scales[row]);
            plain += SquaredError(group, group.Max(Math.Abs) / 7.5);
        }

        Assert.InRange(ours / plain, 0.5, 0.95);
    }

    [Fact]
    public void Scales_are_numbers_of_their_type()
    {
        var values = Values(2 * 128, seed: 6);
        var (_, scales) = Encode(values, 2, 128, 128, ElementType.BF16);
        Assert.All(scales, scale => Assert.Equal(0u, BitConverter.SingleToUInt32Bits(scale) & 0xFFFF));
        Assert.Equal(
            Array.ConvertAll(scales, scale => (ushort)(BitConverter.SingleToUInt32Bits(scale) >> 16)),
            MemoryMarshal.Cast<byte, ushort>(StoredScale.Bytes(scales, ElementType.BF16))
        );
        (_, scales) = Encode(values, 2, 128, 128, ElementType.F16);
        Assert.All(scales, scale => Assert.Equal(scale, (float)(Half)scale));
    }

    [Theory]
    [InlineData(ElementType.BF16)]
    [InlineData(ElementType.F32)]
    [InlineData(ElementType.F16)]
    public void Groups_of_zeros_and_of_the_smallest_numbers_stay_finite(object type)
    {
        var values = new float[256];
        values[200] = float.Epsilon;
        var (words, scales) = Encode(values, 2, 128, 128, (ElementType)type);
        Assert.All(words, word => Assert.Equal(0x88888888u, word));
        Assert.All(scales, scale => Assert.InRange(scale, float.Epsilon, 1e-6f));
    }

    [Fact]
    public void Rows_without_whole_groups_are_refused() =>
        Assert.Throws<ArgumentException>(() => Encode(new float[192], 1, 192, 128, ElementType.F32));

    private static double SquaredError(float[] group, double scale) =>
        group.Sum(value => Math.Pow(value - (Math.Clamp(Math.Round(value / scale), -8, 7) * scale), 2));

    private static float[] Values(int count, int seed)
    {
        var random = new Random(seed);
        return
        [
            .. Enumerable
                .Range(0, count)
                .Select(_ =>
                    (float)(
                        0.02
                        * Math.Sqrt(-2 * Math.Log(1 - random.NextDouble()))
                        * Math.Cos(2 * Math.PI * random.NextDouble())
                    )
                ),
        ];
    }

    private static unsafe (uint[] Words, float[] Scales) Encode(
        float[] values,
        int rows,
        int columns,
        int groupSize,
        ElementType type
    )
    {
        var (words, scales) = (new uint[rows * (columns / 8)], new float[rows * (columns / groupSize)]);
        fixed (float* first = values)
        {
            Int4Groups.Encode((nint)first, rows, columns, groupSize, type, words, scales);
        }

        return (words, scales);
    }
}
