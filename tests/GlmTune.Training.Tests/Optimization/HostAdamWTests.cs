using GlmTune.Kernels;
using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Native;
using GlmTune.Model.Layers;
using GlmTune.Testing;
using GlmTune.Training.Optimization;
using GlmTune.Training.Sharding;
using static TorchSharp.torch;

namespace GlmTune.Training.Tests.Optimization;

/// <summary>AdamW on the host against the definition, for lengths that do and do not fill vectors and pieces.</summary>
public class HostAdamWTests
{
    static HostAdamWTests() => NativeRuntime.Load();

    [Theory]
    [InlineData(1, ScalarType.Float32), InlineData(17, ScalarType.BFloat16), InlineData(1024, ScalarType.BFloat16)]
    [InlineData(5001, ScalarType.BFloat16), InlineData(5001, ScalarType.Float32)]
    public void Three_updates_equal_the_definition(int count, ScalarType type)
    {
        using var scope = NewDisposeScope();
        using var generator = new Generator(3, CPU);
        var weight = new Parameter("weight", [count], type, CPU, decays: true)
        {
            Trainable = true,
            Value = randn([count], generator: generator).to_type(type).alias(),
        };
        using var unit = new OneWeight(weight);
        using var shard = new FlatShard(
            new FlatLayout(unit, [weight], 0, 1),
            decays: true,
            new ShardStorage { OnHost = true }
        );
        using var host = new HostAdamW(CPU, pieceElements: 1024);
        var (master, first, second) = (shard.Master.clone(), zeros(count), zeros(count));
        var compute = zeros(count, type);
        for (var step = 1; step <= 3; step++)
        {
            var settings = new AdamWStep(1e-2, 0.9, 0.98, 1e-8, 0.1, step);
            shard.Gradient.copy_(randn([count], generator: generator));
            new PlainKernels().AdamW(master, shard.Gradient, first, second, tensor(0.3f), settings, compute);
            host.Update(shard, 0.3f, settings);
            host.Finish();
            Assert.Equal(0, shard.Gradient.abs().max().item<float>());
        }

        TensorAssert.Close(master, shard.Master, 1e-6, "master");
        TensorAssert.Close(first, shard.Moments.First, 1e-6, "first moment");
        TensorAssert.Close(second, shard.Moments.Second, 1e-6, "second moment");
        // What layers compute with is the master rounded as libtorch rounds it, to the bit.
        Assert.Equal(
            0,
            (shard.Master.to_type(type) - shard.Compute!).abs().max().to_type(ScalarType.Float32).item<float>()
        );
    }

    private sealed class OneWeight(Parameter weight) : Layer
    {
        public override string Name => "one weight";

        public override IEnumerable<Parameter> Parameters => [weight];
    }
}
