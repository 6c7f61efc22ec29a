using GlmTune.Kernels;
using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Native;
using GlmTune.Model;
using GlmTune.Model.Adapters;
using GlmTune.Model.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Inference.Tests.Generating;

/// <summary>A model whose layers are spread over devices answers as one on a single device.</summary>
/// <remarks>On a CPU the stages share one device: contexts, views of the cache and copies are each stage's own, but
/// nothing can be on a wrong device. Two GPUs show that.</remarks>
public class SpreadModelTests
{
    [Theory]
    [InlineData(1, 1, 1)]
    [InlineData(1, 2)]
    public void Stages_answer_as_one_device_on_a_cpu(params int[] layers) =>
        Agrees([.. layers.Select(count => (CPU, count))], ScalarType.Float64, exact: true);

    [Fact]
    public void Two_gpus_answer_as_one()
    {
        Assert.SkipUnless(
            NativeRuntime.Load().Cuda && cuda.is_available() && cuda.device_count() > 1,
            "There are no two GPUs."
        );
        Agrees([(device(DeviceType.CUDA, 0), 2), (device(DeviceType.CUDA, 1), 1)], ScalarType.Float32, exact: false);
    }

    private static void Agrees((Device Device, int Layers)[] stages, ScalarType type, bool exact)
    {
        using var scope = NewDisposeScope();
        using var one = Load(new DevicePlan((stages[0].Device, 3)), type);
        using var spread = Load(new DevicePlan(stages), type);
        Assert.Equal(stages.Length, spread.Plan.Devices.Count);
        foreach (var layer in spread.Layers)
        {
            Assert.All(
                layer.Parameters,
                parameter =>
                    Assert.Equal(spread.Plan.DeviceOf(layer.Number).ToString(), parameter.Value.device.ToString())
            );
        }

        int[] ids = [.. Enumerable.Range(40, 30)];
        SequenceLayout Rows() => new([0, 12, 30], one.Device);
        Close(one.Logits(ids, Rows()), spread.Logits(ids, Rows()), exact);
        using var targets = new SupervisedTargets([3, 4, 20], [50, 60, 70], one.Device);
        Assert.Equal(one.Loss(ids, Rows(), targets), spread.Loss(ids, Rows(), targets), exact ? 0 : 1e-3);

        using var servedByOne = Serve(one);
        using var served = Serve(spread);
        GenerationRequest[] requests =
        [
            new([3, 4, 5]),
            new([9, 8]) { Adapter = "lora" },
            new([7]) { Adapter = "prefix" },
            new([60, 61, 62]) { Adapter = "dora" },
            new([30, 31]) { Options = new() { NumBeams = 3 } },
            new([.. Enumerable.Range(90, 70)]),
        ];
        var options = new GenerationOptions { MaxNewTokens = 12, EosTokenIds = [] };
        var limits = new GenerationLimits { Slots = 3 };
        var expected = new Generator(one, 640, options, limits).GenerateAll(requests);
        Assert.All(expected, answer => Assert.NotEmpty(answer.Generated));
        var generator = new Generator(spread, 640, options, limits);
        var answers = generator.GenerateAll(requests);
        Assert.Equal(expected.Select(answer => answer.Tokens), answers.Select(answer => answer.Tokens));
        var before = DisposeScopeManager.Statistics.ThreadTotalLiveCount;
        generator.GenerateAll(requests);
        Assert.Equal(before, DisposeScopeManager.Statistics.ThreadTotalLiveCount);
    }

    private static void Close(Tensor expected, Tensor actual, bool exact) =>
        Assert.Equal(
            0,
            (expected.cpu() - actual.cpu()).abs().max().to_type(ScalarType.Float64).item<double>(),
            exact ? 0 : 1e-3
        );

    private static DecoderModel Load(DevicePlan plan, ScalarType type) =>
        ModelFolder.Load(GoldenData.Path("glm-tiny/model-hf"), type, _ => plan);

    private static ServedAdapters Serve(DecoderModel model)
    {
        var served = new ServedAdapters(model);
        foreach (var name in (string[])["lora", "prefix", "dora"])
        {
            served.Load(name, GoldenData.Path($"glm-tiny/adapter-{name}"));
        }

        return served;
    }
}
