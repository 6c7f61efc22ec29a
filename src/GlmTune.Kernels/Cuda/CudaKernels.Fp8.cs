using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Dispatch;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Cuda;

/// <content>Quantizing to fp8 at the end of what makes a row, and products by the GPU's fp8 units.</content>
public sealed partial class CudaKernels
{
    // fp8.cu keeps up to this many 16-byte pieces of a row in each of at most this many threads.
    private const int Fp8Pieces = 8;
    private const int Fp8Threads = 512;

    private static readonly AtenOperator ScaledProduct = new(
        "aten::_scaled_mm(Tensor self, Tensor mat2, Tensor scale_a, Tensor scale_b, Tensor? bias=None, Tensor? "
            + "scale_result=None, "
            + "ScalarType? out_dtype=None, bool use_fast_accum=False) -> Tensor"
    );

    /// <summary>Whether the GPU can multiply fp8 matrices: compute capability 8.9 and up.</summary>
    internal bool MultipliesFp8 { get; init; }

    /// <inheritdoc/>
    public override Fp8Rows QuantizeRows(Tensor x)
    {
        if (!Fp8Fits(x, KernelTensor.Size(x, 1)))
        {
            return base.QuantizeRows(x);
        }

        var (rows, width) = (KernelTensor.Size(x, 0), KernelTensor.Size(x, 1));
        var result = NewRows(x, rows, width);
        LaunchFp8("round_rows", x, rows, width, x, result.Values, result.Scales, width);
        return result;
    }

    /// <inheritdoc/>
    public override (Tensor? Output, Fp8Rows Quantized, Tensor InverseRms) RmsNormFp8(
        Tensor x,
        Tensor weight,
        double epsilon,
        bool keepOutput
    )
    {
        if (!Fp8Fits(x, KernelTensor.Size(x, 1)) || !NormFits(x, weight))
        {
            return base.RmsNormFp8(x, weight, epsilon, keepOutput);
        }

        var (output, quantized, inverse) = NormFp8(x, null, weight, null, epsilon, keepOutput);
        return (output, quantized, inverse);
    }

    /// <inheritdoc/>
    public override (Tensor Sum, Tensor? Output, Fp8Rows Quantized, Tensor InverseRms) AddRmsNormFp8(
        Tensor x,
        Tensor delta,
        Tensor weight,
        double epsilon,
        bool keepOutput
    )
    {
        if (!Fp8Fits(x, KernelTensor.Size(x, 1)) || !NormFits(x, delta, weight))
        {
            return base.AddRmsNormFp8(x, delta, weight, epsilon, keepOutput);
        }

        var sum = KernelTensor.Like(x);
        var (output, quantized, inverse) = NormFp8(x, delta, weight, sum, epsilon, keepOutput);
        return (sum, output, quantized, inverse);
    }

    /// <inheritdoc/>
    public override (Tensor Result, Fp8Rows Quantized) RmsNormBackwardFp8(
        Tensor gradient,
        Tensor x,
        Tensor weight,
        Tensor inverseRms,
        Tensor residualGradient
    )
    {
        var (rows, width) = (KernelTensor.Size(x, 0), KernelTensor.Size(x, 1));
        if (!Fp8Fits(x, width) || !NormFits(gradient, x, weight, residualGradient))
        {
            return base.RmsNormBackwardFp8(gradient, x, weight, inverseRms, residualGradient);
        }

        var (result, quantized) = (KernelTensor.Like(x), NewRows(x, rows, width));
        LaunchFp8(
            "rms_norm_backward_fp8",
            x,
            rows,
            width,
            gradient,
            x,
            weight,
            inverseRms,
            residualGradient,
            result,
            quantized.Values,
            quantized.Scales,
            width
        );
        return (result, quantized);
    }

    /// <inheritdoc/>
    public override Fp8Rows SwiGluFp8(Tensor gateUp)
    {
        var (rows, width) = (KernelTensor.Size(gateUp, 0), KernelTensor.Size(gateUp, 1) / 2);
        if (!Fp8Fits(gateUp, width))
        {
            return base.SwiGluFp8(gateUp);
        }

        var result = NewRows(gateUp, rows, width);
        LaunchFp8("swiglu_fp8", gateUp, rows, width, gateUp, result.Values, result.Scales, width);
        return result;
    }

    /// <inheritdoc/>
    public override Fp8Rows SwiGluBackwardFp8(Tensor gradient, Tensor gateUp)
    {
        var (rows, width) = (KernelTensor.Size(gateUp, 0), KernelTensor.Size(gateUp, 1) / 2);
        if (!Fp8Fits(gateUp, width) || !KernelTensor.Fit(KernelTensor.TypeOf(gateUp), gradient))
        {
            return base.SwiGluBackwardFp8(gradient, gateUp);
        }

        var result = NewRows(gateUp, rows, 2 * width);
        LaunchFp8("swiglu_backward_fp8", gateUp, rows, width, gradient, gateUp, result.Values, result.Scales, width);
        return result;
    }

    /// <inheritdoc/>
    public override Tensor Fp8Product(Fp8Rows x, Fp8Matrix weight, Tensor? bias, ScalarType type)
    {
        if (!Multiplies(weight, type))
        {
            return base.Fp8Product(x, weight, bias, type);
        }

        using var scope = NewDisposeScope();
        return ScaledProduct
            .Call(x.Values, weight.Values.t(), x.Scales, weight.OutputScales, bias, Argument.None, type, true)
            .MoveToOuterDisposeScope();
    }

    /// <inheritdoc/>
    public override Tensor Fp8ProductBackward(Fp8Rows gradient, Fp8Matrix weight, ScalarType type)
    {
        if (!Multiplies(weight, type))
        {
            return base.Fp8ProductBackward(gradient, weight, type);
        }

        using var scope = NewDisposeScope();
        return ScaledProduct
            .Call(
                gradient.Values,
                weight.Transposed().t(),
                gradient.Scales,
                weight.InputScales,
                Argument.None,
                Argument.None,
                type,
                true
            )
            .MoveToOuterDisposeScope();
    }

    private bool Multiplies(Fp8Matrix weight, ScalarType type) =>
        MultipliesFp8
        && weight.Values.device.type == DeviceType.CUDA
        && type == ScalarType.BFloat16
        && Fp8.Fits(weight.Values.shape);

    private (Tensor? Output, Fp8Rows Quantized, Tensor InverseRms) NormFp8(
        Tensor x,
        Tensor? delta,
        Tensor weight,
        Tensor? sum,
        double epsilon,
        bool keepOutput
    )
    {
        var (rows, width) = (KernelTensor.Size(x, 0), KernelTensor.Size(x, 1));
        var result = NewRows(x, rows, width);
        var output = keepOutput ? KernelTensor.Like(x) : null;
        var inverse = KernelTensor.Empty(ScalarType.Float32, x.device, rows, 1);
        LaunchFp8(
            "rms_norm_fp8",
            x,
            rows,
            width,
            x,
            delta,
            weight,
            sum,
            output,
            inverse,
            result.Values,
            result.Scales,
            width,
            (float)epsilon
        );
        return (output, result, inverse);
    }

    // Quantizing needs an instruction of compute capability 8.9.
    private bool Fp8Fits(Tensor x, int width) =>
        MultipliesFp8
        && KernelTensor.Fit(KernelTensor.TypeOf(x), x)
        && width % 16 == 0
        && width / KernelTensor.PieceOf(KernelTensor.TypeOf(x)) <= Fp8Pieces * Fp8Threads
        && KernelTensor.Size(x, 0) > 0;

    private static Fp8Rows NewRows(Tensor like, int rows, int width) =>
        new(
            KernelTensor.Empty(Fp8.E4M3, like.device, rows, width),
            KernelTensor.Empty(ScalarType.Float32, like.device, rows, 1)
        );

    // width is that of the pieces that a thread keeps.
    private void LaunchFp8(
        string function,
        Tensor like,
        int rows,
        int width,
        params ReadOnlySpan<KernelArgument> arguments
    )
    {
        var packs = width / KernelTensor.PieceOf(KernelTensor.TypeOf(like));
        var pieces = 2;
        while (pieces * Fp8Threads < packs)
        {
            pieces *= 2;
        }

        launcher.Launch(
            new("fp8", function, KernelTensor.TypeOf(like), "PACKS", pieces),
            new(rows),
            BlockFor((packs + pieces - 1) / pieces, Fp8Threads),
            arguments
        );
    }
}
