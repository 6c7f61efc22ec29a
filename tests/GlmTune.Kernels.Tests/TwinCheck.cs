using GlmTune.Kernels.Definitions;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Tests;

/// <summary>Compares a set of kernels with <see cref="PlainKernels"/> in float64 on the same numbers.</summary>
internal sealed class TwinCheck : IDisposable
{
    private readonly DisposeScope scope = NewDisposeScope();
    private readonly Generator generator;

    public TwinCheck(LayerKernels kernels, ScalarType type, Device device, ulong seed = 11)
    {
        (Kernels, Type, Device) = (kernels, type, device);
        generator = new Generator(seed, CPU);
    }

    public LayerKernels Kernels { get; }

    public PlainKernels Reference { get; } = new();

    public ScalarType Type { get; }

    public Device Device { get; }

    public List<TwinResult> Results { get; } = [];

    /// <summary>Normal random numbers in the type under test.</summary>
    public Tensor Random(params long[] shape) => randn(shape, generator: generator).to(Type).to(Device);

    /// <summary>Normal random numbers in float32.</summary>
    public Tensor RandomSingle(params long[] shape) => randn(shape, generator: generator).to(Device);

    /// <summary>A cache of random numbers, whose slots have their blocks in random order.</summary>
    public CachedBlocks RandomBlocks(int slots, int capacity, HeadLayout heads)
    {
        var each = CachedBlocks.For(capacity);
        long[] shape = [1 + (slots * each), CachedBlocks.Tokens, heads.KeyValueHeads, heads.HeadDim];
        var order = randperm(slots * each, generator: generator).Add(1).to(ScalarType.Int32).to(Device);
        return new(Random(shape), Random(shape), order.view(slots, each));
    }

    public Tensor RandomIndex(long limit, params long[] shape) =>
        randint(0, limit, shape, dtype: ScalarType.Int64, generator: generator).to(Device);

    /// <summary>Memory that holds no zeros, so that an element nobody writes shows.</summary>
    public Tensor Poison(ScalarType type, params long[] shape) => TensorCreation.Full(shape, 12345.0, type, Device);

    public static Tensor Wide(Tensor x) => x.to(ScalarType.Float64);

    public static CachedBlocks Wide(CachedBlocks cache) =>
        cache with
        {
            Keys = Wide(cache.Keys),
            Values = Wide(cache.Values),
        };

    /// <summary>Notes how far <paramref name="actual"/> is from the truth, in units of its type's rounding.</summary>
    /// <param name="what">Name of the value.</param>
    /// <param name="expected">float64.</param>
    /// <param name="actual">As computed.</param>
    /// <param name="allowance">How many times the error of one rounding the computation may have.</param>
    public void Compare(string what, Tensor expected, Tensor actual, double allowance = 1)
    {
        using var inner = NewDisposeScope();
        var shapesMatch = expected.shape.SequenceEqual(actual.shape);
        var rounding = actual.dtype switch
        {
            ScalarType.BFloat16 => Math.Pow(2, -8),
            ScalarType.Float16 => Math.Pow(2, -11),
            ScalarType.Float32 => Math.Pow(2, -24),
            _ => 0,
        };
        if (!shapesMatch)
        {
            Results.Add(new(what, double.PositiveInfinity, double.PositiveInfinity, 0));
            return;
        }

        var difference = (Wide(actual) - expected).abs();
        var size = expected.Square().mean().sqrt().item<double>() + 1e-300;
        var norm = difference.Square().mean().sqrt().item<double>() / size;
        var worst = (difference / expected.abs().Add(size)).max().item<double>();
        Results.Add(new(what, norm, worst, allowance * rounding));
    }

    public void Dispose()
    {
        scope.Dispose();
        generator.Dispose();
    }
}

/// <summary>One compared value.</summary>
/// <param name="What">Its name.</param>
/// <param name="Norm">Root mean square of the difference over that of the value.</param>
/// <param name="Worst">Largest difference of an element over its own size plus the root mean square.</param>
/// <param name="Limit">Of the norm; an element may be eight times as far off.</param>
internal sealed record TwinResult(string What, double Norm, double Worst, double Limit)
{
    public bool Passed => Norm <= Limit && Worst <= 8 * Limit;

    public override string ToString() =>
        $"{What}: norm {Norm:E1}, worst element {Worst:E1}, limit {Limit:E1} {(Passed ? "ok" : "FAILED")}";
}
