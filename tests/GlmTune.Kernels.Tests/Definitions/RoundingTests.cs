using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Native;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Tests.Definitions;

/// <summary>Stochastic rounding and one-byte codes.</summary>
public class RoundingTests
{
    static RoundingTests() => NativeRuntime.Load();

    [Fact]
    public void A_number_becomes_one_of_its_neighbours_and_is_right_on_average()
    {
        using var scope = NewDisposeScope();
        const int count = 1 << 16;
        const float value = 1 + (0.25f / 128); // a quarter of the way from 1 to the next bfloat16
        var sum = zeros(count, ScalarType.BFloat16).FillInPlace(1);
        new PlainKernels().Accumulate(sum, zeros(count).FillInPlace(value - 1), new Rounding(3, 9));
        var found = sum.to_type(ScalarType.Float32).data<float>().ToArray();
        Assert.Equal([1f, 1 + (1f / 128)], found.Distinct().Order());
        Assert.InRange(found.Average(each => (double)each) - value, -5e-5, 5e-5);
    }

    [Fact]
    public void Small_addends_are_not_lost_in_a_sum()
    {
        using var scope = NewDisposeScope();
        var kernels = new PlainKernels();
        var (sum, addend) = (zeros(4096, ScalarType.BFloat16).FillInPlace(256), zeros(4096).FillInPlace(0.1));
        for (var step = 0; step < 100; step++)
        {
            kernels.Accumulate(sum, addend, new Rounding(step, 1));
        }

        // To nearest, the sum would still be 256.
        Assert.InRange(sum.to_type(ScalarType.Float64).mean().item<double>(), 265.5, 266.5);
    }

    [Fact]
    public void The_same_place_draws_the_same_in_a_slice_and_another_in_another_run_or_step()
    {
        using var scope = NewDisposeScope();
        Tensor Words(Rounding rounding, long count) => rounding.Words(count, CPU);
        var rounding = new Rounding(3, Rounding.SaltOf("layer 1"));
        Assert.Equal(Words(rounding, 20).narrow(0, 8, 12), Words(rounding.From(8), 12));
        var first = Words(rounding, 100).data<long>().ToArray();
        Assert.Equal(first, Words(rounding with { Step = Stored(3) }, 100).data<long>().ToArray());
        foreach (
            var other in new[]
            {
                rounding with
                {
                    Step = 4,
                },
                rounding with
                {
                    Salt = Rounding.SaltOf("layer 2"),
                },
                rounding with
                {
                    Start = 1000,
                },
            }
        )
        {
            Assert.Empty(first.Intersect(Words(other, 100).data<long>().ToArray()));
        }
    }

    [Theory, InlineData(true), InlineData(false)]
    public void Codes_are_those_of_the_paper(bool signed)
    {
        var values = BlockCodes.Values(CPU)[signed ? 0 : 1].data<float>().ToArray();
        Assert.Equal(256, values.Distinct().Count());
        Assert.Equal(values, values.Order());
        Assert.Equal((1f, true), (values[^1], values.Contains(0)));
        // The largest power: 64 parts of [0.1, 1] with a sign, 128 without.
        var parts = signed ? 64 : 128;
        Assert.Equal(parts, values.Count(value => value is > 0.1f and < 1));
        Assert.Equal(0.1 + (0.45 / parts), values.First(value => value > 0.1f), 6);
        Assert.Equal(signed ? 127 : 0, values.Count(value => value < 0));
        Assert.Equal(signed ? 5.5e-7 : 3.25e-7, values.First(value => value > 0), 12);
    }

    [Theory, InlineData(true), InlineData(false)]
    public void A_number_gets_the_nearest_code_of_its_block(bool signed)
    {
        using var scope = NewDisposeScope();
        const int count = 700; // two blocks and a part
        var numbers = randn(count, generator: new Generator(4, CPU));
        numbers = numbers.mul(numbers).mul(signed ? numbers : ones(count));
        numbers[300] = 0;
        var (codes, largest) = (zeros(count, ScalarType.Byte), zeros(BlockCodes.Blocks(count)));
        BlockCodes.Encode(numbers, codes, largest, signed);
        var found = BlockCodes.Decode(codes, largest, signed).data<float>().ToArray();
        var (wanted, values) = (
            numbers.data<float>().ToArray(),
            BlockCodes.Values(CPU)[signed ? 0 : 1].data<float>().ToArray()
        );
        for (var i = 0; i < count; i++)
        {
            var block = wanted.Skip(i / 256 * 256).Take(256).Max(Math.Abs);
            var nearest = values.Min(value => Math.Abs((value * block) - wanted[i]));
            Assert.InRange(Math.Abs(found[i] - wanted[i]), 0, nearest + (1e-6 * block));
        }

        Assert.Equal(0, found[300]);
    }

    [Fact]
    public void A_positive_number_without_sign_never_becomes_zero()
    {
        using var scope = NewDisposeScope();
        var (codes, largest) = (zeros(3, ScalarType.Byte), zeros(1));
        BlockCodes.Encode(tensor(new[] { 1f, 1e-12f, 0f }), codes, largest, signed: false);
        var found = BlockCodes.Decode(codes, largest, signed: false).data<float>().ToArray();
        Assert.Equal(1, found[0]);
        Assert.InRange(found[1], 1e-7f, 1e-6f);
        Assert.Equal(0, found[2]);
    }

    private static MaskSeed Stored(long seed) => new(0, tensor(new[] { unchecked((int)DropoutMask.Key(seed)) }));
}
