using GlmTune.Kernels;
using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Memory;
using GlmTune.Kernels.Native;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Model.Tests;

/// <summary>Weights that are held in fp8.</summary>
public class Fp8WeightsTests
{
    private static readonly string Folder = GoldenData.Path("glm-tiny");

    static Fp8WeightsTests() => NativeRuntime.Load();

    [Fact]
    public void Only_the_layers_matrices_are_rounded_and_their_values_are_gone()
    {
        using var scope = NewDisposeScope();
        using var model = Load(ScalarType.Float32, FrozenType.Fp8);
        foreach (var parameter in model.BaseParameters)
        {
            var layered = parameter.Name.Contains(".layers.", StringComparison.Ordinal) && parameter.Shape.Length == 2;
            Assert.Equal(layered, parameter.Quantized is not null);
            Assert.True(parameter.IsLoaded);
            if (layered)
            {
                Assert.Contains(
                    "is quantized",
                    Assert.Throws<InvalidOperationException>(() => parameter.Value).Message,
                    StringComparison.Ordinal
                );
            }
        }
    }

    [Fact]
    public void A_rounded_weight_is_within_half_a_step_of_the_weight()
    {
        using var scope = NewDisposeScope();
        using var model = Load(ScalarType.Float32, null);
        using var quantized = Load(ScalarType.Float32, FrozenType.Fp8);
        foreach (var (exact, held) in model.QuantizableWeights.Zip(quantized.QuantizableWeights))
        {
            var fp8 = (Fp8Matrix)held.Quantized!.Matrix;
            var error = (fp8.Dequantized(ScalarType.Float64) - exact.Value.to(ScalarType.Float64)).abs();
            // Half of the last of three bits; or of the smallest step, 2⁻⁹, in units of the scale.
            var allowed = maximum(
                    exact.Value.to(ScalarType.Float64).abs().Multiply(Math.Pow(2, -4)),
                    fp8.OutputScales.max().to(ScalarType.Float64).Multiply(Math.Pow(2, -10))
                )
                .Multiply(1.0001);
            Assert.True(error.le(allowed).all().item<bool>(), exact.Name);
        }
    }

    [Fact]
    public void A_trained_weight_is_not_rounded()
    {
        using var model = Load(ScalarType.Float32, null);
        var weight = model.Layers[0].FeedForward.Down.Weight;
        weight.Trainable = true;
        using var buffers = new DenseWeights(model.Kernels, model.Type, model.Device);
        Assert.Contains(
            weight.Name,
            Assert
                .Throws<InvalidOperationException>(() => weight.Quantize(FrozenType.Fp8, backward: true, buffers))
                .Message,
            StringComparison.Ordinal
        );
        Assert.Null(weight.Quantized);
        Assert.True(weight.IsLoaded);
    }

    [Fact]
    public void A_model_that_only_answers_keeps_one_copy()
    {
        using var training = Load(ScalarType.Float32, FrozenType.Fp8);
        using var answering = ModelFolder.Load(
            Path.Combine(Folder, "model-hf"),
            ScalarType.Float32,
            CPU,
            quantization: new Quantization(FrozenType.Fp8, Backward: false)
        );
        foreach (var (two, one) in training.QuantizableWeights.Zip(answering.QuantizableWeights))
        {
            Assert.Equal(two.Count, two.Quantized!.Matrix.Bytes - one.Quantized!.Matrix.Bytes);
        }
    }

    private static DecoderModel Load(ScalarType type, FrozenType? stored) =>
        ModelFolder.Load(
            Path.Combine(Folder, "model-hf"),
            type,
            CPU,
            quantization: stored is { } held ? new Quantization(held, Backward: true) : null
        );
}
