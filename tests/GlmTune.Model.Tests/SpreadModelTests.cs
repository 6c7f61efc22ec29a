using GlmTune.Kernels;
using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Native;
using GlmTune.Model.Glm4;
using GlmTune.Model.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Model.Tests;

/// <summary>Passes over a cache by layers on two GPUs, against one GPU.</summary>
public class SpreadModelTests
{
    [Fact]
    public void Two_gpus_give_the_logits_of_one()
    {
        Assert.SkipUnless(
            NativeRuntime.Load().Cuda && cuda.is_available() && cuda.device_count() > 1,
            "There are no two GPUs."
        );
        using var scope = NewDisposeScope();
        var (first, second) = (device(DeviceType.CUDA, 0), device(DeviceType.CUDA, 1));
        var config = Glm4Config.Glm4_9B with
        {
            LayerCount = 3,
            VocabularySize = 1000,
            HiddenSize = 512,
            FeedForwardSize = 1024,
            QueryHeads = 4,
        };
        using var one = new Glm4Model(config, ScalarType.BFloat16, first);
        one.InitializeRandomly(5);
        using var spread = new Glm4Model(config, ScalarType.BFloat16, new DevicePlan((first, 2), (second, 1)));
        foreach (var (from, to) in one.BaseParameters.Zip(spread.BaseParameters))
        {
            to.Value = from.Value.to(to.Device).clone();
        }

        using var cache = one.NewCache(3, 64);
        using var spreadCache = spread.NewCache(3, 64);
        Assert.Equal(second.ToString(), spreadCache.Keys(2).device.ToString());
        Assert.Null(((ICausalLm)spread).NewDecoder(spreadCache, 1000));
        int[] before = [0, 0];
        for (var pass = 0; pass < 4; pass++)
        {
            int[] added = pass == 0 ? [20, 9] : [1, 1];
            var ids = Enumerable.Range(pass * 40, added.Sum()).ToArray();
            Tensor Logits(DecoderModel model, KvCache held) =>
                model
                    .Logits(
                        ids,
                        new SequenceLayout([0, added[0], added.Sum()], first),
                        new CacheStep(held, [2, 0], before, added),
                        lastOnly: true
                    )
                    .to_type(ScalarType.Float32)
                    .cpu();
            var (expected, actual) = (Logits(one, cache), Logits(spread, spreadCache));
            Assert.True(
                (expected - actual).abs().max().item<float>() <= 0.02f * expected.abs().max().item<float>(),
                $"pass {pass}"
            );
            before = [.. before.Zip(added, (a, b) => a + b)];
            if (pass == 1)
            {
                cache.Widen(80);
                spreadCache.Widen(80);
            }
        }
    }
}
