using GlmTune.Kernels.Native;
using GlmTune.Model;
using GlmTune.Model.Adapters;
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
        InlineData("lora", ScalarType.Float32, false),
        InlineData("lora", ScalarType.BFloat16, false),
        InlineData("lora", ScalarType.BFloat16, true)
    ]
    [
        InlineData("dora", ScalarType.BFloat16, false),
        InlineData("full", ScalarType.BFloat16, false),
        InlineData("prefix", ScalarType.Float32, true)
    ]
    public void Every_way_of_recomputing_gives_the_same_bits(string trained, ScalarType type, bool fp8)
    {
        using var scope = NewDisposeScope();
        var expected = Gradients(trained, type, fp8, whole: 0, cheap: 0);
        Assert.Contains(expected, pair => pair.Value.abs().max().item<float>() > 0);
        foreach (var (whole, cheap) in ((int, int)[])[(3, 0), (0, 3), (1, 1), (2, 1)])
        {
            var actual = Gradients(trained, type, fp8, whole, cheap);
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
        var expected = Gradients(trained, ScalarType.Float64, fp8: false, whole: 0, cheap: 0);
        foreach (
            var (name, gradient) in Gradients(
                trained,
                ScalarType.Float64,
                fp8: false,
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
        bool fp8,
        int whole,
        int cheap,
        Action<DecoderModel>? prepare = null
    )
    {
        using var model = ModelFolder.Load(Path.Combine(GoldenModelTests.Folder, "model-hf"), type, CPU, fp8: fp8);
        using var adapter = Attach(model, trained);
        prepare?.Invoke(model);
        using var sharding = new ReplicatedWeights(model.Units);
        var runner = new LayerRunner(model, sharding, whole) { SelectivelyRecomputed = cheap };
        using var pass = TrainingPass.Of(
            GoldenBatch.Read(Path.Combine(GoldenModelTests.Folder, "batch.json")).ToMicroBatch(),
            CPU
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
