using GlmTune.Kernels;
using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Native;
using GlmTune.Model;
using GlmTune.Model.Adapters;
using GlmTune.Testing;
using GlmTune.Training.Optimization;
using GlmTune.Training.Sharding;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Training.Tests;

/// <summary>Training an adapter on a base that is quantized.</summary>
public class Fp8BaseTests
{
    static Fp8BaseTests() => NativeRuntime.Load();

    [Theory, InlineData("lora"), InlineData("prefix")]
    public void Gradients_are_those_of_the_rounded_weights_but_for_the_rounding_of_activations(string kind)
    {
        using var scope = NewDisposeScope();
        using var quantized = Load(ScalarType.Float64, FrozenType.Fp8);
        var (loss, gradients) = Gradients(quantized, kind);
        using var exact = Load(ScalarType.Float64, null);
        var (exactLoss, _) = Gradients(exact, kind);
        foreach (var (weight, held) in exact.QuantizableWeights.Zip(quantized.QuantizableWeights))
        {
            weight.Value.copy_(held.Quantized!.Matrix.Dequantized(ScalarType.Float64));
        }

        var (sameWeightsLoss, sameWeights) = Gradients(exact, kind);
        Assert.Equal(sameWeightsLoss, loss, 0.05 * sameWeightsLoss);
        Assert.Equal(exactLoss, loss, 0.05 * exactLoss);
        Assert.NotEqual(sameWeightsLoss, loss);
        foreach (var (name, gradient) in sameWeights)
        {
            var error = ((gradients[name] - gradient).norm() / gradient.norm()).item<double>();
            // Each rounding is off by some 2.6 % of a number; layers add up.
            Assert.InRange(error, 1e-6, 0.25);
        }
    }

    [Fact]
    public void An_adapter_learns_on_it_as_on_the_model_itself_and_leaves_no_tensor_over()
    {
        var curves = new List<List<double>>();
        foreach (var stored in (FrozenType?[])[null, FrozenType.Fp8, FrozenType.Int8, FrozenType.Nf4])
        {
            using var model = Load(ScalarType.BFloat16, stored);
            using var adapter = Attach(model, "lora");
            using var sharding = new ReplicatedWeights(model.Units);
            var options = new OptimizerOptions { LearningRate = 0.02 };
            var trainer = new Trainer(
                new LayerRunner(model, sharding, recomputed: 1),
                sharding,
                options,
                new LearningRateSchedule(0.02, new ScheduleOptions(), 15),
                seed: 1
            );
            var batch = GoldenBatch.Read(Path.Combine(GoldenModelTests.Folder, "batch.json")).ToMicroBatch();
            var losses = new List<double>();
            long live = 0;
            for (var step = 0; step < 15; step++)
            {
                losses.Add(trainer.Step(new([batch], batch.SupervisedTokens, 3, default, 0)).Loss);
                live = step == 1 ? DisposeScopeManager.Statistics.TensorStatistics.ThreadTotalLiveCount : live;
            }

            Assert.Equal(live, DisposeScopeManager.Statistics.TensorStatistics.ThreadTotalLiveCount);
            curves.Add(losses);
        }

        Assert.True(curves[0][^1] < curves[0][0] - 0.3, "bf16 does not learn");
        foreach (var curve in curves.Skip(1))
        {
            Assert.All(curves[0].Zip(curve), pair => Assert.Equal(pair.First, pair.Second, 0.1 * pair.First));
        }
    }

    [
        Theory,
        InlineData("Nf4", "lora"),
        InlineData("Nf4", "dora"),
        InlineData("Nf4", "prefix"),
        InlineData("Int8", "lora"),
        InlineData("Int8", "dora")
    ]
    public void Gradients_are_those_of_a_model_with_the_dequantized_weights(string stored, string kind)
    {
        using var scope = NewDisposeScope();
        using var quantized = Load(ScalarType.Float64, Enum.Parse<FrozenType>(stored));
        using var exact = Load(ScalarType.Float64, null);
        var (plainLoss, _) = Gradients(exact, kind);
        foreach (var (weight, held) in exact.QuantizableWeights.Zip(quantized.QuantizableWeights))
        {
            weight.Value.copy_(held.Quantized!.Matrix.Dequantized(ScalarType.Float64));
        }

        var (expectedLoss, expected) = Gradients(exact, kind);
        var (loss, gradients) = Gradients(quantized, kind);
        Assert.Equal(expectedLoss, loss, 1e-12);
        Assert.NotEqual(plainLoss, loss);
        Assert.Equal(plainLoss, loss, 0.05 * plainLoss);
        Assert.Equal(expected.Keys.Order(), gradients.Keys.Order());
        foreach (var (name, gradient) in expected)
        {
            TensorAssert.Close(gradient, gradients[name], 1e-11, name);
        }
    }

    private static DecoderModel Load(ScalarType type, FrozenType? stored) =>
        ModelFolder.Load(
            Path.Combine(GoldenModelTests.Folder, "model-hf"),
            type,
            CPU,
            quantization: stored is { } held ? new Quantization(held, Backward: true) : null
        );

    private static IAdapter Attach(DecoderModel model, string kind)
    {
        if (kind == "prefix")
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
                Dropout = kind == "dora" ? 0.2 : 0,
                UseDora = kind == "dora",
                InitWeights = LoraInitialization.Random,
            }
        );
        lora.Initialize(4);
        return lora;
    }

    private static (double Loss, Dictionary<string, Tensor> Gradients) Gradients(DecoderModel model, string kind)
    {
        using var adapter = Attach(model, kind);
        using var sharding = new ReplicatedWeights(model.Units);
        using var pass = TrainingPass.Of(
            GoldenBatch.Read(Path.Combine(GoldenModelTests.Folder, "batch.json")).ToMicroBatch(),
            CPU
        );
        var loss = new LayerRunner(model, sharding, recomputed: 1)
            .ForwardBackward(pass, 1.0 / pass.Targets.Count, dropoutSeed: kind == "dora" ? 5 : null)
            .item<double>();
        var gradients = sharding
            .Trainable.SelectMany(shard =>
                shard.Segments.Select(segment =>
                    (segment.Parameter.Name, shard.Gradient.narrow(0, segment.Start, segment.Parameter.Count).clone())
                )
            )
            .ToDictionary();
        adapter.Detach(model);
        return (loss, gradients);
    }
}
