using static TorchSharp.torch;

namespace GlmTune.Kernels.Definitions;

/// <summary>Activations or gradients in fp8: row r represents <c>Values[r] · Scales[r]</c>.</summary>
/// <param name="Values">e4m3, [N, width].</param>
/// <param name="Scales">float32, [N, 1]: the row's largest size over <see cref="Fp8.Largest"/>.</param>
/// <remarks>Tensors belong to the dispose scope in which they were made.</remarks>
public readonly record struct Fp8Rows(Tensor Values, Tensor Scales);

/// <summary>The 8-bit floating type e4m3: four bits of exponent, three of mantissa, no infinities.</summary>
/// <remarks>Source: Micikevicius et al., FP8 Formats for Deep Learning, arXiv:2209.05433, section 3.</remarks>
public static class Fp8
{
    /// <summary>libtorch's Float8_e4m3fn, which TorchSharp has no name for.</summary>
    public const ScalarType E4M3 = (ScalarType)24;

    /// <summary>The largest number of the type.</summary>
    public const double Largest = 448;

    /// <summary>Represents the largest size of a row of zeros.</summary>
    internal const double Smallest = 1e-30;

    /// <summary>Whether matrices of this shape can be multiplied by the GPU's fp8 units: both sides are multiples of
    /// 16.</summary>
    public static bool Fits(IReadOnlyList<long> shape) => shape.Count == 2 && shape[0] % 16 == 0 && shape[1] % 16 == 0;
}
