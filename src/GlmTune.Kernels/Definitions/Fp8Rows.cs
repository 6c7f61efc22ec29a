using GlmTune.Kernels.Dispatch;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Definitions;

/// <summary>Activations or gradients quantized to fp8: row r is <c>Values[r] · Scales[r]</c>.</summary>
/// <param name="Values">e4m3, [N, width].</param>
/// <param name="Scales">float32, [N, 1]: the row's largest magnitude divided by the largest number of the type.</param>
/// <remarks>The tensors belong to the dispose scope in which they were created.</remarks>
internal readonly record struct Fp8Rows(Tensor Values, Tensor Scales);

/// <summary>The 8-bit floating-point type e4m3: four exponent bits, three mantissa bits, no infinities.</summary>
/// <remarks>Source: Micikevicius et al., FP8 Formats for Deep Learning, arXiv:2209.05433, section 3.</remarks>
internal static class Fp8
{
    /// <summary>libtorch's Float8_e4m3fn, for which TorchSharp has no name.</summary>
    public const ScalarType E4M3 = (ScalarType)24;

    private static readonly AtenOperator View = new("aten::view.dtype(Tensor(a) self, ScalarType dtype) -> Tensor(a)");

    /// <summary>The largest number of the type.</summary>
    public const double Largest = 448;

    /// <summary>The magnitude assumed for a row of zeros.</summary>
    internal const double Smallest = 1e-30;

    /// <summary>The numbers with given bytes, a view of the same memory.</summary>
    /// <param name="bytes">uint8, any shape.</param>
    public static Tensor OfBytes(Tensor bytes) => View.Call(bytes, E4M3);

    /// <summary>The bytes of numbers, a view of the same memory.</summary>
    /// <param name="values">e4m3, any shape.</param>
    public static Tensor BytesOf(Tensor values) => View.Call(values, ScalarType.Byte);

    /// <summary>Whether GPU fp8 units can multiply matrices of this shape: both dimensions must be multiples of
    /// 16.</summary>
    public static bool Fits(IReadOnlyList<long> shape) => shape.Count == 2 && shape[0] % 16 == 0 && shape[1] % 16 == 0;
}
