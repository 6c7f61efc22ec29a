using GlmTune.Kernels;
using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Native;
using GlmTune.Training.Optimization;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Training.Tests.Optimization;

/// <summary>Every combination of types follows AdamW in float64 over many steps: what is rounded is right on
/// average.</summary>
public class ShardUpdateTests
{
    static ShardUpdateTests() => NativeRuntime.Load();

    [Theory]
    [InlineData(ScalarType.Float32, ScalarType.Float32, 1e-5)]
    [InlineData(ScalarType.Float32, ScalarType.BFloat16, 0.01)]
    [InlineData(ScalarType.Float32, ScalarType.Byte, 0.05)]
    [InlineData(ScalarType.BFloat16, ScalarType.Float32, 0.01)]
    [InlineData(ScalarType.BFloat16, ScalarType.BFloat16, 0.01)]
    [InlineData(ScalarType.BFloat16, ScalarType.Byte, 0.05)]
    public void Many_small_steps_are_not_lost(ScalarType weightType, ScalarType momentType, double allowed)
    {
        using var scope = NewDisposeScope();
        const int count = 2048;
        const int steps = 400;
        var kernels = new PlainKernels();
        var generator = new Generator(3, CPU);
        var (weights, exact) = (ones(count, weightType), ones(count, ScalarType.Float64));
        var moments = Moments.Zero(count, momentType, CPU);
        var (first, second) = (zeros(count, ScalarType.Float64), zeros(count, ScalarType.Float64));
        for (var step = 1; step <= steps; step++)
        {
            using var inner = NewDisposeScope();
            // Gradients that point one way and shrink, so that the second moment must follow. A step is a
            // ten-thousandth of a weight, a fortieth of the distance between two bfloat16 numbers.
            var gradient = randn(count, generator: generator).Add(1).MultiplyInPlace(Math.Pow(0.995, step));
            var settings = new AdamWStep(1e-4, 0.9, 0.99, 1e-8, 0, step);
            var narrow = gradient.to_type(weightType);
            ShardUpdate.Run(kernels, weights, narrow, moments, tensor(1f), settings, new Rounding(step, 1));
            kernels.AdamW(
                exact,
                narrow.to_type(ScalarType.Float64),
                first,
                second,
                tensor(1.0, ScalarType.Float64),
                settings
            );
        }

        double Mean(Tensor values) => values.to_type(ScalarType.Float64).mean().item<double>();
        var way = 1 - Mean(exact);
        Assert.InRange(way, 0.02, 0.04);
        Assert.InRange(Mean(weights) - Mean(exact), -allowed * way, allowed * way);
        var found = moments.AreCoded
            ? BlockCodes.Decode(moments.Second, moments.SecondLargest!, signed: false)
            : moments.Second;
        Assert.InRange(Mean(found) / Mean(second), 1 - allowed, 1 + allowed);
    }
}
