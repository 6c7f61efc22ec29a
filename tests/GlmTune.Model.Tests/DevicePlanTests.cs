using GlmTune.Kernels.Native;
using GlmTune.Model.Glm4;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Model.Tests;

/// <summary>GLM-4-9B in bfloat16: 40 layers of 0.38 GiB, embedding and head of 1.16 GiB each, 17.5 GiB in
/// all.</summary>
public class DevicePlanTests
{
    static DevicePlanTests() => NativeRuntime.Load();

    [Fact]
    public void A_model_that_fits_one_device_is_not_spread() =>
        Assert.Equal([40], Layers(DevicePlan.Fit(Glm4Config.Glm4_9B, ScalarType.BFloat16, Gpus(20, 80))));

    [Theory]
    [InlineData(new[] { 12.0, 12.0 }, new[] { 20, 20 })]
    [InlineData(new[] { 16.0, 8.0, 80.0 }, new[] { 29, 11 })]
    [InlineData(new[] { 8.0, 8.0, 8.0 }, new[] { 12, 16, 12 })]
    public void Else_as_few_as_hold_it_are_filled_to_the_same_share(double[] free, int[] expected)
    {
        var layers = Layers(DevicePlan.Fit(Glm4Config.Glm4_9B, ScalarType.BFloat16, Gpus(free)));
        Assert.Equal(40, layers.Sum());
        Assert.Equal(expected.Length, layers.Length);
        Assert.All(layers.Zip(expected), pair => Assert.InRange(pair.First, pair.Second - 1, pair.Second + 1));
    }

    [Fact]
    public void Devices_that_were_named_are_all_used()
    {
        var plan = DevicePlan.Over(Glm4Config.Glm4_9B, ScalarType.BFloat16, Gpus(80, 80, 80, 80));
        Assert.All(Layers(plan), count => Assert.InRange(count, 7, 13));
        Assert.Equal("cuda:3", plan.DeviceOf(39).ToString());
        Assert.StartsWith("cuda:0: layers 0 to ", plan.ToString(), StringComparison.Ordinal);
        Assert.Throws<InvalidDataException>(() =>
            DevicePlan.Over(Glm4Config.Glm4_9B with { LayerCount = 3 }, ScalarType.BFloat16, Gpus(80, 80, 80, 80))
        );
    }

    [Fact]
    public void Devices_that_are_too_small_are_named_with_what_is_needed()
    {
        var error = Assert.Throws<InvalidDataException>(() =>
            DevicePlan.Fit(Glm4Config.Glm4_9B, ScalarType.Float32, Gpus(16, 16), cacheBytes: 1L << 30)
        );
        Assert.Contains("needs 36.0 GiB in Float32", error.Message, StringComparison.Ordinal);
        Assert.Contains("16.0 GiB on cuda:1", error.Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(() => new DevicePlan());
        Assert.Throws<ArgumentException>(() =>
            new Glm4Model(Glm4Config.Glm4_9B, ScalarType.BFloat16, new DevicePlan((CPU, 39)))
        );
    }

    [Fact]
    public void Weights_in_fewer_bits_need_fewer_or_smaller_devices()
    {
        Assert.Equal([40], Layers(DevicePlan.Fit(Glm4Config.Glm4_9B, ScalarType.BFloat16, Gpus(11, 11), 0, 0.516)));
        Assert.Equal(2, DevicePlan.Fit(Glm4Config.Glm4_9B, ScalarType.BFloat16, Gpus(11, 11), 0, 1).Devices.Count);
    }

    private static int[] Layers(DevicePlan plan) =>
        [.. Enumerable.Range(0, plan.LayerCount).CountBy(plan.PipelineStageOf).Select(pair => pair.Value)];

    private static (Device, long)[] Gpus(params double[] free) =>
        [.. free.Select((gib, index) => (new Device(DeviceType.CUDA, index), (long)(gib * (1L << 30))))];
}
