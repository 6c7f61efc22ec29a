using GlmTune.Weights.Gguf;

namespace GlmTune.Interop.Tests;

/// <summary>Blocks mean to llama.cpp what they mean here.</summary>
public sealed class BlockTests
{
    [Theory]
    [InlineData("Q4_0"), InlineData("Q5_0"), InlineData("Q8_0")]
    public void Blocks_with_one_scale_are_llama_cpps_to_the_byte(string name)
    {
        var type = Enum.Parse<GgufType>(name);
        foreach (var values in Samples())
        {
            Assert.Equal(LlamaCpp.Encode(type, values), Encode(type, values));
        }
    }

    [Theory]
    [InlineData("Q4_K"), InlineData("Q6_K")]
    public void Blocks_with_groups_are_read_with_an_error_like_that_of_llama_cpps(string name)
    {
        var type = Enum.Parse<GgufType>(name);
        foreach (var values in Samples())
        {
            var (ours, theirs) = (
                Error(values, LlamaCpp.Decode(type, Encode(type, values), values.Length)),
                Error(values, LlamaCpp.Decode(type, LlamaCpp.Encode(type, values), values.Length))
            );
            Assert.InRange(ours, 0, 1.02 * theirs);
        }
    }

    private static byte[] Encode(GgufType type, float[] values)
    {
        var blocks = new byte[values.Length / type.BlockLength() * type.BlockBytes()];
        GgufEncoder.Encode(type, values, blocks);
        return blocks;
    }

    // Like weights; evenly spread; all of one sign; with a few large ones; and mostly zero.
    private static IEnumerable<float[]> Samples()
    {
        var random = new Random(1);
        double Normal() =>
            Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());
        float[] Draw(Func<double> value) => [.. Enumerable.Range(0, 256 * 100).Select(_ => (float)value())];
        yield return Draw(() => 0.02 * Normal());
        yield return Draw(() => random.NextDouble() - 0.5);
        yield return Draw(() => 0.3 + (0.1 * Normal()));
        yield return Draw(() => 0.01 * Math.Pow(Normal(), 3));
        yield return Draw(() => random.Next(64) == 0 ? Normal() : 0);
        yield return new float[256];
    }

    private static double Error(float[] values, float[] read)
    {
        var (difference, norm) = (0.0, 1e-30);
        foreach (var (x, y) in values.Zip(read))
        {
            difference += Math.Pow(x - (double)y, 2);
            norm += Math.Pow(x, 2);
        }

        return Math.Sqrt(difference / norm);
    }
}
