using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Native;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Tests;

/// <summary>The definition of the fp8 functions against a table of e4m3's numbers and loops over doubles.</summary>
public sealed class Fp8Tests : IDisposable
{
    // Every number of e4m3 from zero up: 8 subnormal ones of 2⁻⁹, then eight to each power of two. The last code is
    // NaN.
    private static readonly double[] Table =
    [
        .. Enumerable
            .Range(0, 127)
            .Select(code =>
                code < 8 ? code * Math.Pow(2, -9) : (1 + ((code & 7) / 8.0)) * Math.Pow(2, (code >> 3) - 7)
            ),
    ];

    private readonly PlainKernels kernels = new();
    private readonly DisposeScope scope;
    private readonly Generator generator;

    public Fp8Tests()
    {
        NativeRuntime.Load();
        scope = NewDisposeScope();
        generator = new Generator(5, CPU);
    }

    public void Dispose()
    {
        scope.Dispose();
        generator.Dispose();
    }

    [Fact]
    public void The_table_ends_at_the_largest_number() => Assert.Equal(Fp8.Largest, Table[^1]);

    [Fact]
    public void A_row_is_rounded_to_the_nearest_numbers_of_the_type_after_scaling_its_largest_to_448()
    {
        var x = randn([5, 64], generator: generator);
        x[1].MultiplyInPlace(1e-4f);
        x[2].mul_(tensor(Enumerable.Range(0, 64).Select(i => (float)Math.Pow(2, -(i % 20))).ToArray()));
        x[3].zero_();
        var rounded = kernels.QuantizeRows(x);
        var (values, codes) = (
            x.data<float>().ToArray(),
            rounded.Values.to(ScalarType.Float32).data<float>().ToArray()
        );
        for (var row = 0; row < 5; row++)
        {
            var largest = Math.Max(values.Skip(row * 64).Take(64).Max(Math.Abs), 1e-30f);
            Assert.Equal(largest / 448, rounded.Scales[row, 0].item<float>(), largest / 448 * 1e-6);
            for (var i = row * 64; i < (row + 1) * 64; i++)
            {
                var wanted = Nearest(values[i] * (448f / largest));
                Assert.Equal(wanted, codes[i]);
            }
        }
    }

    [Fact]
    public void Products_are_those_of_the_numbers_that_the_codes_stand_for()
    {
        var weight = randn([32, 48], generator: generator, dtype: ScalarType.Float64);
        var bias = randn([32], generator: generator, dtype: ScalarType.Float64);
        using var fp8 = Fp8Matrix.Quantize(weight);
        var (x, gradient) = (
            kernels.QuantizeRows(randn([3, 48], generator: generator)),
            kernels.QuantizeRows(randn([3, 32], generator: generator))
        );
        var (product, back) = (
            kernels.Fp8Product(x, fp8, bias, ScalarType.Float64),
            kernels.Fp8ProductBackward(gradient, fp8, ScalarType.Float64)
        );
        var (w, left, right) = (Doubles(fp8.Dequantized(ScalarType.Float64)), Doubles(x), Doubles(gradient));
        for (var row = 0; row < 3; row++)
        {
            for (var o = 0; o < 32; o++)
            {
                var sum =
                    Enumerable.Range(0, 48).Sum(i => left[(row * 48) + i] * w[(o * 48) + i]) + bias[o].item<double>();
                Assert.Equal(sum, product[row, o].item<double>(), 1e-9);
            }

            for (var i = 0; i < 48; i++)
            {
                var sum = Enumerable.Range(0, 32).Sum(o => right[(row * 32) + o] * w[(o * 48) + i]);
                Assert.Equal(sum, back[row, i].item<double>(), 1e-9);
            }
        }
    }

    [Theory, InlineData(true), InlineData(false)]
    public void A_matrix_keeps_its_values_transposed_or_makes_them(bool keeps)
    {
        using var fp8 = Fp8Matrix.Quantize(randn([20, 36], generator: generator), keeps);
        Assert.Equal(keeps, fp8.KeepsTransposed);
        var transposed = fp8.Transposed();
        Assert.Equal([36, 20], transposed.shape);
        Assert.True(transposed.to(ScalarType.Float32).equal(fp8.Values.to(ScalarType.Float32).t()).all().item<bool>());
    }

    [Fact]
    public void Rounding_by_parts_is_rounding_at_once()
    {
        // Wider than what is rounded at a time, so that rows go one by one.
        var weight = randn([3, (1 << 24) + 16], generator: generator);
        using var fp8 = Fp8Matrix.Quantize(weight, keepTransposed: false);
        var largest = weight.abs().max().item<float>();
        Assert.Equal(largest / 448, fp8.OutputScales[0, 2].item<float>(), largest * 1e-9);
        var last = weight[2, -1].item<float>();
        Assert.Equal(Nearest(last * (448f / largest)), fp8.Values[2, -1].to(ScalarType.Float32).item<float>());
    }

    private static double[] Doubles(Tensor x) => x.to(ScalarType.Float64).data<double>().ToArray();

    private static double[] Doubles(Fp8Rows x) => Doubles(x.Values.to(ScalarType.Float64) * x.Scales);

    // Nearest in the table, of two as near the one with an even code.
    private static double Nearest(float x)
    {
        var size = Math.Min(Math.Abs((double)x), 448);
        var code = Enumerable.Range(0, Table.Length).OrderBy(i => Math.Abs(Table[i] - size)).ThenBy(i => i & 1).First();
        return Math.Sign(x) * Table[code];
    }
}
