using static TorchSharp.torch;

namespace GlmTune.Kernels.Definitions;

/// <content>Products with frozen weights in fp8, and the functions whose results go into one.</content>
/// <remarks>Results are first rounded to the model's type and then quantized to fp8, so that the fused functions equal
/// the functions they combine. Source: Micikevicius et al., arXiv:2209.05433; row-wise scales as in Xi et al., COAT,
/// arXiv:2410.19313.</remarks>
internal abstract partial class LayerKernels
{
    /// <summary>Quantizes to fp8, with one scale a row.</summary>
    /// <param name="x">[N, width].</param>
    public virtual Fp8Rows QuantizeRows(Tensor x)
    {
        using var scope = NewDisposeScope();
        var wide = x.to_type(ScalarType.Float32);
        var largest = wide.abs().amax([1], keepdim: true).ClampMin(Fp8.Smallest);
        // A division by a tensor: for a number, libtorch multiplies by its reciprocal on some devices.
        var whole = largest.FullLike(Fp8.Largest);
        var values = (wide * (whole / largest)).ClampInPlace(-Fp8.Largest, Fp8.Largest).to_type(Fp8.E4M3);
        return new Fp8Rows(values.MoveToOuterDisposeScope(), (largest / whole).MoveToOuterDisposeScope());
    }

    /// <summary><see cref="RmsNorm"/>, quantized.</summary>
    /// <param name="x">[N, C].</param>
    /// <param name="weight">[C].</param>
    /// <param name="epsilon">Added to the mean square.</param>
    /// <param name="keepOutput">Whether the output is also needed in the model's type.</param>
    /// <returns>The output [N, C], or null; the output in fp8; and the inverse root mean square [N, 1].</returns>
    public virtual (Tensor? Output, Fp8Rows Quantized, Tensor InverseRms) RmsNormFp8(
        Tensor x,
        Tensor weight,
        double epsilon,
        bool keepOutput
    )
    {
        var (output, inverse) = RmsNorm(x, weight, epsilon);
        return (Kept(output, keepOutput, out var quantized), quantized, inverse);
    }

    /// <summary><see cref="AddRmsNorm"/>, quantized; as <see cref="RmsNormFp8"/>.</summary>
    public virtual (Tensor Sum, Tensor? Output, Fp8Rows Quantized, Tensor InverseRms) AddRmsNormFp8(
        Tensor x,
        Tensor delta,
        Tensor weight,
        double epsilon,
        bool keepOutput
    )
    {
        var (sum, output, inverse) = AddRmsNorm(x, delta, weight, epsilon);
        return (sum, Kept(output, keepOutput, out var quantized), quantized, inverse);
    }

    /// <summary><see cref="RmsNormBackward"/> without a weight gradient, in the model's type and quantized.</summary>
    /// <param name="gradient">Gradient of the norm's output, [N, C].</param>
    /// <param name="x">The norm's input, [N, C].</param>
    /// <param name="weight">[C].</param>
    /// <param name="inverseRms">From the forward pass, [N, 1].</param>
    /// <param name="residualGradient">Added to the result, [N, C].</param>
    public virtual (Tensor Result, Fp8Rows Quantized) RmsNormBackwardFp8(
        Tensor gradient,
        Tensor x,
        Tensor weight,
        Tensor inverseRms,
        Tensor residualGradient
    )
    {
        var result = RmsNormBackward(gradient, x, weight, inverseRms, residualGradient, weightGradient: null);
        return (result, QuantizeRows(result));
    }

    /// <summary><see cref="SwiGlu"/>, quantized: [N, 2F] gives [N, F].</summary>
    public virtual Fp8Rows SwiGluFp8(Tensor gateUp)
    {
        using var output = SwiGlu(gateUp);
        return QuantizeRows(output);
    }

    /// <summary><see cref="SwiGluBackward"/>, quantized: [N, 2F].</summary>
    public virtual Fp8Rows SwiGluBackwardFp8(Tensor gradient, Tensor gateUp)
    {
        using var result = SwiGluBackward(gradient, gateUp);
        return QuantizeRows(result);
    }

    /// <summary>x · Wᵀ + bias, accumulated in float32; GPU fp8 units accumulate with fewer bits (fast
    /// accumulation).</summary>
    /// <param name="x">[N, in].</param>
    /// <param name="weight">W [out, in].</param>
    /// <param name="bias">[out], or null.</param>
    /// <param name="type">Type of the result.</param>
    /// <returns>[N, out].</returns>
    public virtual Tensor Fp8Product(Fp8Rows x, Fp8Matrix weight, Tensor? bias, ScalarType type)
    {
        using var scope = NewDisposeScope();
        var wide = WideOf(type);
        var sum = x.Values.to_type(wide).mm(weight.Values.to_type(wide).t()).mul_(x.Scales).mul_(weight.OutputScales);
        return (bias is null ? sum : sum.AddInPlace(bias.to_type(wide))).to_type(type).MoveToOuterDisposeScope();
    }

    /// <summary>Gradient of the product's input: g · W, accumulated as in <see cref="Fp8Product"/>.</summary>
    /// <param name="gradient">Gradient g of the result, [N, out].</param>
    /// <param name="weight">W [out, in].</param>
    /// <param name="type">Type of the result.</param>
    /// <returns>[N, in].</returns>
    public virtual Tensor Fp8ProductBackward(Fp8Rows gradient, Fp8Matrix weight, ScalarType type)
    {
        using var scope = NewDisposeScope();
        var wide = WideOf(type);
        return gradient
            .Values.to_type(wide)
            .mm(weight.Values.to_type(wide))
            .mul_(gradient.Scales)
            .mul_(weight.InputScales)
            .to_type(type)
            .MoveToOuterDisposeScope();
    }

    private static ScalarType WideOf(ScalarType type) => type == ScalarType.Float64 ? type : ScalarType.Float32;

    private Tensor? Kept(Tensor output, bool keepOutput, out Fp8Rows quantized)
    {
        quantized = QuantizeRows(output);
        if (keepOutput)
        {
            return output;
        }

        output.Dispose();
        return null;
    }
}
