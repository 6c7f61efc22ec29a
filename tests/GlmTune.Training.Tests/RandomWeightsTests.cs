using GlmTune.Kernels.Native;
using GlmTune.Model.Glm4;
using GlmTune.Training.Tests.Sharding;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Training.Tests;

/// <summary>Alone, because a GPU has one generator for the whole process: tests beside these would draw from it
/// too.</summary>
[Collection(nameof(DeviceGenerator))]
public sealed class RandomWeightsTests
{
    [Fact]
    public void Random_weights_follow_from_the_seed()
    {
        Assert.SkipUnless(NativeRuntime.DefaultDevice().type == DeviceType.CUDA, "There is no GPU.");
        using var first = RankedRun.Model("full", ScalarType.Float32, out _, NativeRuntime.DefaultDevice());
        using var second = RankedRun.Model("full", ScalarType.Float32, out _, NativeRuntime.DefaultDevice());
        Assert.All(
            first.BaseParameters.Zip(second.BaseParameters),
            pair => Assert.True(pair.First.Value.equal(pair.Second.Value).all().item<bool>())
        );
    }

    [Fact]
    public void A_seed_decides_a_models_random_weights_on_a_GPU()
    {
        var device = NativeRuntime.DefaultDevice();
        Assert.SkipUnless(device.type == DeviceType.CUDA, "There is no GPU.");
        using var model = new Glm4Model(Glm4Config.Glm4_9B with { LayerCount = 1 }, ScalarType.BFloat16, device);
        using var scope = NewDisposeScope();
        Tensor Drawn(long seed)
        {
            model.InitializeRandomly(seed);
            return cat([
                    .. model
                        .BaseParameters.Where(parameter => parameter.Decays)
                        .Select(parameter => parameter.Value[0][..64]),
                ])
                .cpu();
        }

        var (first, other, again) = (Drawn(1), Drawn(2), Drawn(1));
        Assert.True(first.equal(again).all().item<bool>());
        Assert.False(first.equal(other).all().item<bool>());
    }
}

/// <summary>Tests that no other test may run beside.</summary>
[CollectionDefinition(nameof(DeviceGenerator), DisableParallelization = true)]
public sealed class DeviceGenerator;
