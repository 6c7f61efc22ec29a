using GlmTune.Kernels.Memory;
using static TorchSharp.torch;

namespace GlmTune.Model.Layers;

/// <summary>The angles by which query and key features are rotated, depending on a token's position.</summary>
/// <remarks>Pair j of <paramref name="rotaryDim"/>/2 is rotated by position · base^(−2j/rotaryDim). Angles are float32;
/// sines and cosines are then rounded to the model's type, as in both published implementations. Source: Su et al.,
/// RoFormer, arXiv:2104.09864, section 3.4.2.</remarks>
internal sealed class RotaryEmbedding(int rotaryDim, double thetaBase)
{
    /// <summary>Sines and cosines of each token.</summary>
    /// <param name="positions">Position of each token in its sequence, [N].</param>
    /// <param name="type">The model's type, to which they are rounded.</param>
    /// <param name="device">Device of the result.</param>
    /// <returns>Cosines and sines, each [N, rotaryDim / 2], float32 (float64 for a float64 model); the caller disposes
    /// them.</returns>
    public (Tensor Cosine, Tensor Sine) Angles(int[] positions, ScalarType type, Device device)
    {
        using var scope = NewDisposeScope();
        var wide = type == ScalarType.Float64 ? ScalarType.Float64 : ScalarType.Float32;
        var half = rotaryDim / 2;
        var frequencies = HostValues
            .ToDevice(
                Enumerable.Range(0, half).Select(j => Math.Pow(thetaBase, -2.0 * j / rotaryDim)).ToArray(),
                device
            )
            .to_type(wide);
        var angles = HostValues.ToDevice(positions, device).to_type(wide).unsqueeze(1) * frequencies;
        return (
            Rounded(angles.cos(), type, wide).MoveToOuterDisposeScope(),
            Rounded(angles.sin(), type, wide).MoveToOuterDisposeScope()
        );
    }

    private static Tensor Rounded(Tensor values, ScalarType type, ScalarType wide) =>
        values.to_type(type).to_type(wide);
}
