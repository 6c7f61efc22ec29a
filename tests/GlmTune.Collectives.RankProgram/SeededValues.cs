using System.Collections.Concurrent;
using GlmTune.Kernels;
using static TorchSharp.torch;

namespace GlmTune.Collectives.Tests;

/// <summary>Values that every rank can compute for every rank.</summary>
public static class SeededValues
{
    private static readonly ConcurrentDictionary<(int, long, int), double[]> Known = [];

    /// <summary>The values of one rank, [count], on the CPU: floats around zero of many magnitudes, small whole
    /// numbers, bits.</summary>
    public static Tensor Of(int rank, long count, ScalarType type, int seed = 7)
    {
        var exact = tensor(Known.GetOrAdd((rank, count, seed), Draw), ScalarType.Float64);
        return type switch
        {
            ScalarType.Bool => exact.GreaterThan(0),
            ScalarType.Byte or ScalarType.Int32 or ScalarType.Int64 => exact.abs().to(type),
            _ => exact.to(type),
        };
    }

    /// <summary>The sum over the ranks in their order, element by element: in float32 for 16-bit floats, rounded
    /// once.</summary>
    public static Tensor Sum(int ranks, long count, ScalarType type, int seed = 7)
    {
        var summands = Enumerable.Range(0, ranks).Select(rank => Of(rank, count, type, seed)).ToArray();
        return type switch
        {
            ScalarType.Int64 => tensor(
                Add(summands, type, static t => t.data<long>().ToArray(), static (a, b) => a + b)
            ),
            ScalarType.Int32 => tensor(
                Add(summands, type, static t => t.data<int>().ToArray(), static (a, b) => a + b)
            ),
            ScalarType.Float64 => tensor(
                Add(summands, type, static t => t.data<double>().ToArray(), static (a, b) => a + b)
            ),
            _ => tensor(
                    Add(summands, ScalarType.Float32, static t => t.data<float>().ToArray(), static (a, b) => a + b)
                )
                .to(type),
        };
    }

    private static double[] Draw((int Rank, long Count, int Seed) of)
    {
        var random = new Random((of.Seed * 1000) + of.Rank);
        var values = new double[of.Count];
        for (var i = 0; i < values.Length; i++)
        {
            values[i] = Math.ScaleB(random.NextDouble() - 0.5, random.Next(-10, 11));
        }

        return values;
    }

    private static T[] Add<T>(Tensor[] summands, ScalarType inType, Func<Tensor, T[]> read, Func<T, T, T> add) =>
        summands.Select(summand => read(summand.to(inType))).Aggregate((total, next) => [.. total.Zip(next, add)]);
}
