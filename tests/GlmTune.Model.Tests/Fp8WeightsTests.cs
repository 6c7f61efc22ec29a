using GlmTune.Kernels;
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
        using var model = Load(ScalarType.Float32, fp8: true);
        foreach (var parameter in model.BaseParameters)
        {
            var layered = parameter.Name.Contains(".layers.", StringComparison.Ordinal) && parameter.Shape.Length == 2;
            Assert.Equal(layered, parameter.Quantized is not null);
            Assert.True(parameter.IsLoaded);
            if (layered)
            {
                Assert.Contains(
                    "held in fp8",
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
        using var model = Load(ScalarType.Float32, fp8: false);
        using var quantized = Load(ScalarType.Float32, fp8: true);
        foreach (var (exact, held) in model.Fp8Weights.Zip(quantized.Fp8Weights))
        {
            var fp8 = held.Quantized!;
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
        using var model = Load(ScalarType.Float32, fp8: false);
        var weight = model.Layers[0].FeedForward.Down.Weight;
        weight.Trainable = true;
        Assert.Contains(
            weight.Name,
            Assert.Throws<InvalidOperationException>(() => weight.Quantize(keepTransposed: true)).Message,
            StringComparison.Ordinal
        );
        Assert.Null(weight.Quantized);
        Assert.True(weight.IsLoaded);
    }

    private static DecoderModel Load(ScalarType type, bool fp8) =>
        ModelFolder.Load(Path.Combine(Folder, "model-hf"), type, CPU, fp8: fp8);
}
