using System.IO.Hashing;
using System.Text;
using GlmTune.Model.Layers;
using static TorchSharp.torch;

namespace GlmTune.Model.Adapters;

/// <summary>Initial values that depend only on a seed and the parameter's name, not on device, order or world
/// size.</summary>
internal static class SeededRandom
{
    /// <summary>Uniform in ±<paramref name="bound"/>, with the parameter's shape, type and device.</summary>
    public static Tensor Uniform(Parameter parameter, long seed, double bound) =>
        Draw(parameter, seed, (values, generator) => values.uniform_(-bound, bound, generator));

    /// <summary>Normal with mean 0, with the parameter's shape, type and device.</summary>
    public static Tensor Normal(Parameter parameter, long seed, double deviation) =>
        Draw(parameter, seed, (values, generator) => values.normal_(0, deviation, generator));

    private static Tensor Draw(Parameter parameter, long seed, Func<Tensor, Generator, Tensor> fill)
    {
        using var scope = NewDisposeScope();
        var hash = XxHash64.HashToUInt64(Encoding.UTF8.GetBytes(parameter.Name), seed);
        using var generator = new Generator(hash, CPU);
        return fill(empty(parameter.Shape, ScalarType.Float32), generator)
            .to_type(parameter.Type)
            .to(parameter.Device)
            .MoveToOuterDisposeScope();
    }
}
