using GlmTune.Weights.Gguf;

namespace GlmTune.Weights.Tests.Gguf;

/// <summary>Encoded blocks are read back, by the formats' definitions in float64, as the values that they
/// were.</summary>
public sealed class GgufEncoderTests
{
    [Theory]
    [InlineData("Q8_0", 0.0065), InlineData("Q6_K", 0.022), InlineData("Q5_0", 0.05)]
    [InlineData("Q4_K", 0.085), InlineData("Q4_0", 0.1)]
    public void Values_like_weights_keep_their_size(string name, double bound)
    {
        var random = new Random(3);
        float[] values = [.. Enumerable.Range(0, 256 * 64).Select(_ => (float)(0.02 * Normal(random)))];
        var read = RoundTrip(Enum.Parse<GgufType>(name), values);
        var error = Math.Sqrt(values.Zip(read, (x, y) => Math.Pow(x - y, 2)).Sum() / values.Sum(x => (double)x * x));
        Assert.InRange(error, bound / 4, bound);
    }

    // One step apart at most, where a group's values span the range.
    [Theory]
    [InlineData("Q8_0", 127, 0.57), InlineData("Q5_0", 15.5, 1.01), InlineData("Q4_0", 7.5, 1.01)]
    [InlineData("Q4_K", 7.5, 1.5), InlineData("Q6_K", 31.5, 1.5)]
    public void No_value_is_farther_off_than_a_step_of_its_group(string name, double steps, double most)
    {
        var type = Enum.Parse<GgufType>(name);
        var random = new Random(4);
        var group = type == GgufType.Q6_K ? 16 : 32;
        float[] values = [.. Enumerable.Range(0, 256 * 16).Select(_ => (float)((2 * random.NextDouble()) - 1))];
        var read = RoundTrip(type, values);
        foreach (var (xs, ys) in values.Chunk(group).Zip(read.Chunk(group)))
        {
            var step = xs.Max(Math.Abs) / steps;
            Assert.All(xs.Zip(ys), pair => Assert.InRange(Math.Abs(pair.First - pair.Second), 0, most * step));
        }
    }

    [Theory]
    [InlineData("Q8_0"), InlineData("Q6_K"), InlineData("Q5_0"), InlineData("Q4_K"), InlineData("Q4_0")]
    public void Zeros_and_values_that_halves_cannot_scale_become_zeros(string name)
    {
        var type = Enum.Parse<GgufType>(name);
        Assert.All(RoundTrip(type, new float[256]), value => Assert.Equal(0, value));
        Assert.All(
            RoundTrip(type, [.. Enumerable.Range(0, 256).Select(i => i % 2 == 0 ? 1e-38f : -1e-42f)]),
            value => Assert.InRange(value, -1e-30, 1e-30)
        );
    }

    [Fact]
    public void Equal_values_of_either_sign_are_kept()
    {
        foreach (var type in (GgufType[])[GgufType.Q8_0, GgufType.Q6_K, GgufType.Q5_0, GgufType.Q4_K, GgufType.Q4_0])
        {
            foreach (var value in (float[])[0.75f, -0.75f])
            {
                Assert.All(
                    RoundTrip(type, [.. Enumerable.Repeat(value, 256)]),
                    read => Assert.InRange(read, value - 0.06, value + 0.06)
                );
            }
        }
    }

    [Fact]
    public void Plain_types_round_once_to_nearest_even()
    {
        float[] values = [1, -2.5f, 1.00390625f, 1.01171875f, 65504, 6.1e-5f, 3.14159274f];
        var halves = new byte[values.Length * 2];
        GgufEncoder.Encode(GgufType.F16, values, halves);
        Assert.Equal(values.Select(value => (Half)value), halves.Chunk(2).Select(pair => BitConverter.ToHalf(pair)));
        GgufEncoder.Encode(GgufType.BF16, values, halves);
        Assert.Equal(
            [0x3F80, 0xC020, 0x3F80, 0x3F82, 0x4780, 0x3880, 0x4049],
            halves.Chunk(2).Select(pair => (int)BitConverter.ToUInt16(pair))
        );
    }

    [Fact]
    public unsafe void Blocks_encoded_in_parallel_are_those_encoded_in_turn()
    {
        var random = new Random(5);
        float[] values = [.. Enumerable.Range(0, 256 * 200).Select(_ => (float)Normal(random))];
        foreach (var type in Enum.GetValues<GgufType>())
        {
            var (one, two) = (new byte[Size(type, values)], new byte[Size(type, values)]);
            GgufEncoder.Encode(type, values, one);
            fixed (float* address = values)
            {
                GgufEncoder.Encode(type, (nint)address, values.Length, two);
            }

            Assert.Equal(one, two);
            Assert.Throws<ArgumentException>(() => GgufEncoder.Encode(type, values, new byte[1]));
        }
    }

    private static int Size(GgufType type, float[] values) => values.Length / type.BlockLength() * type.BlockBytes();

    private static double Normal(Random random) =>
        Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());

    private static double[] RoundTrip(GgufType type, float[] values)
    {
        var bytes = new byte[Size(type, values)];
        GgufEncoder.Encode(type, values, bytes);
        return
        [
            .. bytes
                .Chunk(type.BlockBytes())
                .SelectMany(block => Enumerable.Range(0, type.BlockLength()).Select(i => Value(type, block, i))),
        ];
    }

    // Value i of a block, as the format defines it.
    private static double Value(GgufType type, byte[] block, int i)
    {
        double Half(int at) => (double)BitConverter.ToHalf(block, at);
        switch (type)
        {
            case GgufType.Q8_0:
                return Half(0) * (sbyte)block[2 + i];
            case GgufType.Q4_0:
                return Half(0) * (Nibble(block[2 + (i % 16)], i / 16) - 8);
            case GgufType.Q5_0:
                var fifth = (int)(BitConverter.ToUInt32(block, 2) >> i) & 1;
                return Half(0) * (Nibble(block[6 + (i % 16)], i / 16) + (16 * fifth) - 16);
            case GgufType.Q4_K:
                var group = i / 32;
                var (scale, offset) =
                    group < 4
                        ? (block[4 + group] & 63, block[8 + group] & 63)
                        : (
                            (block[8 + group] & 15) + (block[group] >> 6 << 4),
                            (block[8 + group] >> 4) + (block[4 + group] >> 6 << 4)
                        );
                var four = Nibble(block[16 + (group / 2 * 32) + (i % 32)], group % 2);
                return (Half(0) * scale * four) - (Half(2) * offset);
            case GgufType.Q6_K:
                var (half, part, lane) = (i / 128, i % 128 / 32, i % 32);
                var low = Nibble(block[(64 * half) + (32 * (part % 2)) + lane], part / 2);
                var high = (block[128 + (32 * half) + lane] >> (2 * part)) & 3;
                return Half(208) * (sbyte)block[192 + (i / 16)] * (low + (16 * high) - 32);
            default:
                throw new ArgumentOutOfRangeException(nameof(type));
        }
    }

    private static int Nibble(byte value, int which) => (value >> (4 * which)) & 15;
}
