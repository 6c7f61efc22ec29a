using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Native;
using GlmTune.Model;
using GlmTune.Model.Adapters;
using GlmTune.Model.Layers;
using GlmTune.Testing;
using GlmTune.Training.Sharding;
using static TorchSharp.torch;

namespace GlmTune.Training.Tests;

/// <summary>What is kept, and what is computed again, never shows in the numbers.</summary>
public class RecomputationTests
{
    static RecomputationTests() => NativeRuntime.Load();

    [Theory]
    [
        InlineData("lora", ScalarType.Float32, null),
        InlineData("lora", ScalarType.BFloat16, null),
        InlineData("lora", ScalarType.BFloat16, "Fp8"),
        InlineData("lora", ScalarType.BFloat16, "Nf4")
    ]
    [
        InlineData("dora", ScalarType.BFloat16, null),
        InlineData("full", ScalarType.BFloat16, null),
        InlineData("prefix", ScalarType.Float32, "Fp8"),
        InlineData("dora", ScalarType.Float32, "Int8")
    ]
    public void Every_way_of_recomputing_gives_the_same_bits(string trained, ScalarType type, string? stored)
    {
        using var scope = NewDisposeScope();
        var expected = Gradients(trained, type, stored, whole: 0, cheap: 0);
        Assert.Contains(expected, pair => pair.Value.abs().max().item<float>() > 0);
        foreach (var (whole, cheap) in ((int, int)[])[(3, 0), (0, 3), (1, 1), (2, 1)])
        {
            var actual = Gradients(trained, type, stored, whole, cheap);
            foreach (var (name, gradient) in expected)
            {
                Assert.True(
                    gradient.equal(actual[name]).all().item<bool>(),
                    $"{name} differs with {whole} whole and {cheap} cheap."
                );
            }
        }
    }

    [Theory, InlineData("full"), InlineData("lora")]
    public void Logits_a_few_rows_at_a_time_give_the_same_loss_and_gradients(string trained)
    {
        using var scope = NewDisposeScope();
        var expected = Gradients(trained, ScalarType.Float64, stored: null, whole: 0, cheap: 0);
        foreach (
            var (name, gradient) in Gradients(
                trained,
                ScalarType.Float64,
                stored: null,
                whole: 0,
                cheap: 0,
                model => model.Head.ChunkRows = 3
            )
        )
        {
            TensorAssert.Close(expected[name], gradient, 1e-11, name);
        }
    }

    [Theory]
    [
        InlineData("lora", ScalarType.Float32, null),
        InlineData("lora", ScalarType.BFloat16, "Nf4"),
        InlineData("full", ScalarType.BFloat16, null),
        InlineData("prefix", ScalarType.Float32, null)
    ]
    public void Layer_inputs_in_host_memory_give_the_same_bits(string trained, ScalarType type, string? stored)
    {
        using var scope = NewDisposeScope();
        using var onHost = new OffloadedInputs(CPU);
        foreach (var whole in (int[])[1, 2, 3])
        {
            var expected = Gradients(trained, type, stored, whole, cheap: 0);
            var actual = Gradients(trained, type, stored, whole, cheap: 0, onHost: onHost);
            Assert.All(expected, pair => Assert.True(pair.Value.equal(actual[pair.Key]).all().item<bool>(), pair.Key));
        }

        Assert.True(onHost.HostBytes > 0);
    }

    [Theory]
    [
        InlineData("lora", 1),
        InlineData("lora", 3),
        InlineData("dora", 4),
        InlineData("full", 5),
        InlineData("prefix", 2)
    ]
    [InlineData("lora", 3, "glm4-tiny"), InlineData("full", 4, "glm4-tiny"), InlineData("lora", 2, "edge-tiny")]
    public void Feed_forward_in_tiles_gives_the_same_loss_and_gradients(
        string trained,
        int tile,
        string family = "glm-tiny"
    )
    {
        using var scope = NewDisposeScope();
        var expected = Gradients(trained, ScalarType.Float64, stored: null, whole: 0, cheap: 0, family: family);
        foreach (var whole in (int[])[0, 2, 3])
        {
            var actual = Gradients(
                trained,
                ScalarType.Float64,
                stored: null,
                whole,
                cheap: 0,
                model => model.TileTokens = tile,
                family: family
            );
            foreach (var (name, gradient) in expected)
            {
                TensorAssert.Close(gradient, actual[name], 1e-12, name);
            }
        }
    }

    [Fact]
    public void On_a_GPU_inputs_in_host_memory_give_the_same_bits_and_tiles_the_same_numbers()
    {
        var device = NativeRuntime.DefaultDevice();
        Assert.SkipUnless(device.type == TorchSharp.DeviceType.CUDA, "There is no GPU.");
        using var scope = NewDisposeScope();
        using var onHost = new OffloadedInputs(device);
        for (var round = 0; round < 3; round++)
        {
            var expected = Gradients("lora", ScalarType.BFloat16, stored: null, whole: 3, cheap: 0, device: device);
            var actual = Gradients(
                "lora",
                ScalarType.BFloat16,
                stored: null,
                whole: 3,
                cheap: 0,
                onHost: onHost,
                device: device
            );
            Assert.All(expected, pair => Assert.True(pair.Value.equal(actual[pair.Key]).all().item<bool>(), pair.Key));
            var tiled = Gradients(
                "lora",
                ScalarType.BFloat16,
                stored: null,
                whole: 3,
                cheap: 0,
                model => model.TileTokens = 8,
                onHost,
                device: device
            );
            Assert.All(expected, pair => TensorAssert.Close(pair.Value, tiled[pair.Key], 0.05, pair.Key));
        }
    }

    [Fact]
    public void Tiles_of_a_quantised_base_give_the_same_gradients()
    {
        using var scope = NewDisposeScope();
        var expected = Gradients("lora", ScalarType.Float32, stored: "Fp8", whole: 3, cheap: 0);
        var actual = Gradients(
            "lora",
            ScalarType.Float32,
            stored: "Fp8",
            whole: 3,
            cheap: 0,
            model => model.TileTokens = 3
        );
        Assert.All(expected, pair => TensorAssert.Close(pair.Value, actual[pair.Key], 1e-5, pair.Key));
    }

    [Theory]
    [
        InlineData(1000, 0, 0),
        InlineData(400, 0, 0),
        InlineData(399, 0, 1),
        InlineData(380, 0, 1),
        InlineData(379, 0, 2),
        InlineData(200, 0, 10)
    ]
    [InlineData(199, 1, 9), InlineData(100, 5, 5), InlineData(19, 10, 0), InlineData(-5, 10, 0)]
    public void As_little_is_recomputed_as_fits(long free, int whole, int cheap) =>
        Assert.Equal(new RecomputePlan(whole, cheap), RecomputePlan.Fit(free, layers: 10, kept: 40, selective: 20));

    [Theory]
    [InlineData(400, 0), InlineData(399, 1), InlineData(39, 10)]
    public void Without_cheap_parts_whole_layers_are_recomputed(long free, int whole) =>
        Assert.Equal(new RecomputePlan(whole, 0), RecomputePlan.Fit(free, layers: 10, kept: 40, selective: 40));

    private static Dictionary<string, Tensor> Gradients(
        string trained,
        ScalarType type,
        string? stored,
        int whole,
        int cheap,
        Action<DecoderModel>? prepare = null,
        OffloadedInputs? onHost = null,
        string family = "glm-tiny",
        Device? device = null
    )
    {
        device ??= CPU;
        using var model = ModelFolder.Load(
            GoldenData.Path($"{family}/model-hf"),
            type,
            device,
            quantization: stored is null ? null : new Quantization(Enum.Parse<FrozenType>(stored), Backward: true)
        );
        using var adapter = Attach(model, trained);
        prepare?.Invoke(model);
        using var sharding = new ReplicatedWeights(model.Units);
        var runner = new LayerRunner(model, sharding, whole)
        {
            SelectivelyRecomputed = cheap,
            OffloadedInputs = onHost,
        };
        using var pass = TrainingPass.Of(
            GoldenBatch.Read(GoldenData.Path($"{family}/batch.json")).ToMicroBatch(),
            device
        );
        var loss = runner.ForwardBackward(pass, 1.0 / pass.Targets.Count, dropoutSeed: 9);
        var found = sharding
            .Trainable.SelectMany((shard, i) => new[] { ($"{shard.Layer.Name} {i}", shard.Gradient.clone()) })
            .ToDictionary();
        found["loss"] = loss.view(1);
        return found;
    }

    private static IAdapter? Attach(DecoderModel model, string trained)
    {
        if (trained == "full")
        {
            foreach (var parameter in model.BaseParameters)
            {
                parameter.Trainable = true;
            }

            return null;
        }

        if (trained == "prefix")
        {
            var prefix = PrefixTuning.Attach(
                model,
                new PrefixTuningOptions { VirtualTokens = 3, Initialization = PrefixInitialization.Normal }
            );
            prefix.Initialize(4);
            return prefix;
        }

        var lora = Lora.Attach(
            model,
            new LoraOptions
            {
                Rank = 4,
                Dropout = 0.2,
                UseDora = trained == "dora",
                InitWeights = LoraInitialization.Random,
                TargetModules = LoraTargets.FromNames("q_proj", "v_proj", "o_proj", "gate_up_proj", "down_proj"),
            }
        );
        lora.Initialize(4);
        return lora;
    }
}
