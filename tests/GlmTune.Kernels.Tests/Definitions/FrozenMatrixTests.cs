using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Native;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Tests.Definitions;

/// <summary>Weights in nf4 and int8 against loops over doubles.</summary>
public sealed class FrozenMatrixTests : IDisposable
{
    private readonly TorchSharp.DisposeScope scope;
    private readonly Generator generator;

    public FrozenMatrixTests()
    {
        NativeRuntime.Load();
        scope = NewDisposeScope();
        generator = new Generator(3, CPU);
    }

    public void Dispose()
    {
        scope.Dispose();
        generator.Dispose();
    }

    [Fact]
    public void The_4_bit_levels_are_the_papers_quantiles()
    {
        // Appendix E: of each side's evenly spaced quantiles between one half and 0.9677083, scaled to end at one; zero
        // once, and the positive side has one more.
        const double Offset = 0.9677083;
        var positive = Enumerable.Range(0, 8).Select(i => Quantile(Offset + ((0.5 - Offset) * i / 8))).ToList();
        var negative = Enumerable.Range(0, 7).Select(i => -Quantile(Offset + ((0.5 - Offset) * i / 7))).ToList();
        var expected = positive.Concat(negative).Append(0).Order().Select(each => each / positive[0]).ToList();
        Assert.Equal(16, Nf4Matrix.Levels.Count);
        Assert.All(expected.Zip(Nf4Matrix.Levels), pair => Assert.Equal(pair.First, pair.Second, 2e-5));
    }

    [Fact]
    public void The_8_bit_levels_of_scales_are_symmetric_but_for_one_and_denser_towards_zero()
    {
        var levels = Nf4Matrix.ScaleLevels;
        Assert.Equal(256, levels.Distinct().Count());
        Assert.Equal((1, 0), (levels[^1], levels[127]));
        Assert.Equal(levels.Take(127).Select(level => -level).Reverse(), levels.Skip(128).Take(127));
        // Of 64 steps between 0.1 and 1, the outermost centre is half a step below one.
        Assert.Equal(1 - (0.9 / 128), levels[^2], 1e-6);
        Assert.Equal(0.55e-6, levels[128], 1e-9);
    }

    [Theory]
    [InlineData(4, 64)]
    [InlineData(70, 320)]
    [InlineData(3, 40)] // blocks run across rows, and the last one is not full
    [InlineData(260, 4096)] // more than one group of scales, and more than a piece at a time would be too slow here
    public void An_element_is_the_nearest_level_times_the_scale_of_its_block(int rows, int columns)
    {
        var weight = Uneven(rows, columns);
        using var stored = Nf4Matrix.Quantize(weight);
        var (values, result) = (Doubles(weight), Doubles(stored.Dequantized(ScalarType.Float64)));
        var (codes, scaleCodes) = (stored.Codes.data<byte>().ToArray(), stored.ScaleCodes.data<byte>().ToArray());
        var (groups, mean) = (stored.GroupScales.data<float>().ToArray(), stored.Mean.item<float>());
        var largest = values.Chunk(64).Select(block => block.Max(Math.Abs)).ToArray();
        Assert.Equal(largest.Length, scaleCodes.Length);
        Assert.Equal(largest.Average(), mean, 1e-6 * mean);
        for (var i = 0; i < values.Length; i++)
        {
            var block = i / 64;
            var code = i % 2 == 0 ? codes[i / 2] >> 4 : codes[i / 2] & 15;
            var scale = (Nf4Matrix.ScaleLevels[scaleCodes[block]] * (double)groups[block / 256]) + mean;
            Assert.Equal(Nf4Matrix.Levels[code] * scale, result[i], 1e-5 * Math.Abs(scale));
            var nearest = Nf4Matrix.Levels.Min(level => Math.Abs(level - (values[i] / largest[block])));
            Assert.Equal(nearest, Math.Abs(Nf4Matrix.Levels[code] - (values[i] / largest[block])), 1e-6);
        }

        for (var block = 0; block < largest.Length; block++)
        {
            var wanted = (largest[block] - mean) / groups[block / 256];
            var nearest = Nf4Matrix.ScaleLevels.Min(level => Math.Abs(level - wanted));
            Assert.Equal(nearest, Math.Abs(Nf4Matrix.ScaleLevels[scaleCodes[block]] - wanted), 1e-5);
        }
    }

    [Fact]
    public void A_normal_weight_in_nf4_is_off_by_a_tenth_and_takes_4_127_bits_an_element()
    {
        var weight = randn([512, 1024], generator: generator).Multiply(0.02);
        using var stored = Nf4Matrix.Quantize(weight);
        Assert.InRange(Error(weight, stored), 0.07, 0.1);
        var tables = (256 + 512 + 1) * 4;
        Assert.Equal(4.127, (stored.Bytes - tables) * 8.0 / weight.numel(), 1e-3);
    }

    [Theory]
    [InlineData(6, 40)]
    [InlineData(33, 128)]
    public void An_int8_row_is_the_nearest_multiples_of_a_127th_of_its_largest_magnitude(int rows, int columns)
    {
        var weight = Uneven(rows, columns);
        using var stored = Int8Matrix.Quantize(weight);
        var (values, result) = (Doubles(weight), Doubles(stored.Dequantized(ScalarType.Float64)));
        for (var row = 0; row < rows; row++)
        {
            var step = values.Skip(row * columns).Take(columns).Max(Math.Abs) / 127;
            for (var i = row * columns; i < (row + 1) * columns; i++)
            {
                Assert.InRange(Math.Abs(result[i] - values[i]), 0, (step / 2) + (step * 1e-4));
                Assert.Equal(Math.Round(result[i] / Math.Max(step, 1e-30)), result[i] / Math.Max(step, 1e-30), 1e-3);
            }
        }
    }

    [Theory]
    [InlineData("Fp8")]
    [InlineData("Nf4")]
    [InlineData("Int8")]
    public void Zeros_stay_zeros_and_nothing_becomes_NaN(string type)
    {
        using var stored = FrozenMatrix.Quantize(zeros(16, 64), Enum.Parse<FrozenType>(type));
        Assert.True(stored.Dequantized(ScalarType.Float32).abs().max().item<float>() < 1e-20);
    }

    [Theory]
    [InlineData("Nf4", ScalarType.BFloat16)]
    [InlineData("Int8", ScalarType.BFloat16)]
    [InlineData("Int8", ScalarType.Float32)]
    [InlineData("Fp8", ScalarType.Float16)]
    public void Other_types_are_the_float64_result_rounded(string stored, ScalarType type)
    {
        using var matrix = FrozenMatrix.Quantize(Uneven(24, 128), Enum.Parse<FrozenType>(stored));
        var (exact, rounded) = (matrix.Dequantized(ScalarType.Float64), matrix.Dequantized(type));
        var unit = type switch
        {
            ScalarType.BFloat16 => Math.Pow(2, -8),
            ScalarType.Float16 => Math.Pow(2, -11),
            _ => Math.Pow(2, -23),
        };
        // Below float16's smallest normal number steps do not get smaller.
        var off = (rounded.to_type(ScalarType.Float64) - exact).abs().Add(-1e-7) / exact.abs().Add(1e-300);
        Assert.True(off.max().item<double>() <= unit);
    }

    // Rows and parts of rows of very different magnitude.
    private Tensor Uneven(int rows, int columns) =>
        randn([rows, columns], generator: generator)
        * rand([rows, 1], generator: generator).Multiply(0.05).Add(1e-3)
        * rand([1, columns], generator: generator).Add(0.1);

    private static double Error(Tensor weight, FrozenMatrix stored)
    {
        var off = weight - stored.Dequantized(ScalarType.Float32);
        return off.norm().item<float>() / weight.norm().item<float>();
    }

    private static double[] Doubles(Tensor x) => x.to_type(ScalarType.Float64).contiguous().data<double>().ToArray();

    // The number that a normal number is below with the given probability, by bisection of the error function's series.
    private static double Quantile(double probability)
    {
        var (low, high) = (0.0, 6.0);
        for (var i = 0; i < 60; i++)
        {
            var middle = (low + high) / 2;
            (low, high) = Below(middle) < probability ? (middle, high) : (low, middle);
        }

        return low;

        static double Below(double x)
        {
            var (sum, term) = (x, x);
            for (var n = 1; n < 100; n++)
            {
                term *= -x * x / 2 / n;
                sum += term / ((2 * n) + 1);
            }

            return 0.5 + (sum / Math.Sqrt(2 * Math.PI));
        }
    }
}
