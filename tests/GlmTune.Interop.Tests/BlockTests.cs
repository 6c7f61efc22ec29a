using GlmTune.Weights.Gguf;

namespace GlmTune.Interop.Tests;

/// <summary>Blocks mean to llama.cpp what they mean here.</summary>
public sealed class BlockTests
{
    [Theory]
    [InlineData(GgufType.Q4_0), InlineData(GgufType.Q5_0), InlineData(GgufType.Q8_0)]
    [InlineData(GgufType.Q4_K), InlineData(GgufType.Q6_K)]
    public void Compare(GgufType type)
    {
        var random = new Random(1);
        foreach (var kind in new[]{"normal","uniform","shift","heavy"})
        {
            var x = new float[256 * 400];
            for (var i = 0; i < x.Length; i++)
            {
                var n = Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());
                x[i] = (float)(kind switch { "normal" => n * 0.02, "uniform" => random.NextDouble() - 0.5, "shift" => 0.3 + n * 0.1, _ => n * n * n * 0.01 });
            }

            var ours = new byte[x.Length / type.BlockLength() * type.BlockBytes()];
            GgufEncoder.Encode(type, x, ours);
            var theirs = LlamaCpp.Encode(type, x);
            double e(byte[] b) { var y = LlamaCpp.Decode(type, b, x.Length); double s = 0, t = 0; for (var i = 0; i < x.Length; i++) { s += Math.Pow(y[i] - x[i], 2); t += x[i] * x[i]; } return Math.Sqrt(s / t); }
            Console.Error.WriteLine($"{type} {kind} equal bytes {ours.AsSpan().SequenceEqual(theirs)} ours {e(ours):G4} theirs {e(theirs):G4}");
        }
    }
}
