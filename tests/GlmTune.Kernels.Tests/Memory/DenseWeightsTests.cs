using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Memory;
using GlmTune.Kernels.Native;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Tests.Memory;

public sealed class DenseWeightsTests : IDisposable
{
    private readonly DisposeScope scope;
    private readonly Device device;
    private readonly DenseWeights dense;

    public DenseWeightsTests()
    {
        NativeRuntime.Load();
        device = NativeRuntime.DefaultDevice();
        scope = NewDisposeScope();
        dense = new DenseWeights(LayerKernels.For(device), ScalarType.Float32, device);
    }

    public void Dispose()
    {
        dense.Dispose();
        scope.Dispose();
    }

    [Fact]
    public void Each_weight_is_its_own_through_passes_in_both_directions()
    {
        var weights = Weights(5);
        for (var pass = 0; pass < 4; pass++)
        {
            foreach (var weight in weights)
            {
                Check(weight, backward: false);
                Check(weight, backward: false);
            }

            foreach (var weight in Enumerable.Reverse(weights))
            {
                Check(weight, backward: true);
                Same(weight, dense.Same(weight));
            }
        }
    }

    [Fact]
    public void A_weight_stays_while_one_other_is_asked_for()
    {
        var weights = Weights(3);
        var first = dense.Of(weights[0]);
        dense.Of(weights[2]);
        Same(weights[0], first);
    }

    [Fact]
    public void Two_buffers_of_the_largest_weight_serve_them_all()
    {
        foreach (var weight in Weights(4))
        {
            dense.Of(weight);
        }

        Assert.Equal(2 * 4 * 19 * 128, dense.Bytes);
    }

    [Fact]
    public void On_a_GPU_a_repeated_pass_finds_its_weights_ready()
    {
        Assert.SkipUnless(device.type == DeviceType.CUDA, "There is no GPU.");
        var weights = Weights(6);
        for (var pass = 0; pass < 3; pass++)
        {
            foreach (var weight in weights)
            {
                Check(weight, backward: false);
            }

            foreach (var weight in Enumerable.Reverse(weights))
            {
                Check(weight, backward: true);
            }
        }

        // The first pass learns the order.
        Assert.True(dense.Unforeseen <= 12, $"{dense.Unforeseen} of {dense.Foreseen} were not foreseen");
        Assert.True(dense.Foreseen >= 24);
    }

    private void Check(FrozenMatrix weight, bool backward) => Same(weight, dense.Of(weight, backward));

    // A kernel may round a scale otherwise than plain operators.
    private static void Same(FrozenMatrix weight, Tensor found)
    {
        using var inner = NewDisposeScope();
        Assert.Equal([weight.Rows, weight.Columns], found.shape);
        Assert.True((found - weight.Dequantized(ScalarType.Float32)).abs().max().item<float>() < 1e-6);
    }

    // Of different shapes, the largest [19, 128].
    private List<FrozenMatrix> Weights(int count)
    {
        using var generator = new Generator(7, CPU);
        List<FrozenMatrix> weights =
        [
            .. Enumerable
                .Range(0, count)
                .Select(i =>
                    FrozenMatrix.Quantize(
                        randn([i == 1 ? 19 : 4 + i, i % 2 == 0 ? 64 : 128], generator: generator).to(device),
                        i % 3 == 0 ? FrozenType.Int8 : FrozenType.Nf4
                    )
                ),
        ];
        weights.ForEach(dense.MakeRoom);
        return weights;
    }
}
