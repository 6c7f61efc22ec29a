using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Dispatch;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Cuda;

/// <summary>Quantizing to fp8 at the end of what makes a row, and products by the GPU's fp8 units.</summary>
/// <remarks>As the functions of <see cref="LayerKernels"/>; null: the kernel cannot be taken.</remarks>
internal sealed class Fp8Kernels(IKernelLauncher launcher, bool multipliesFp8, KernelFallbacks fallbacks)
{
    // fp8.cu keeps up to this many 16-byte pieces of a row in each of at most this many threads.
    private const int MaxPieces = 8;
    private const int MaxThreads = 512;

    private const string Capability = "compute capability 8.9 or higher";

    private static readonly AtenOperator ScaledProduct = new(
        "aten::_scaled_mm(Tensor self, Tensor mat2, Tensor scale_a, Tensor scale_b, Tensor? bias=None, Tensor? "
            + "scale_result=None, "
            + "ScalarType? out_dtype=None, bool use_fast_accum=False) -> Tensor"
    );

    public Fp8Rows? QuantizeRows(Tensor x)
    {
        if (Refuses("round_rows", x, KernelTensor.Size(x, 1)))
        {
            return null;
        }

        var (rows, width) = (KernelTensor.Size(x, 0), KernelTensor.Size(x, 1));
        var result = NewRows(x, rows, width);
        Launch("round_rows", x, rows, width, x, result.Values, result.Scales, width);
        return result;
    }

    public (Tensor? Output, Fp8Rows Quantized, Tensor InverseRms)? RmsNormFp8(
        Tensor x,
        Tensor weight,
        double epsilon,
        bool keepOutput
    )
    {
        if (
            Refuses("rms_norm_fp8", x, KernelTensor.Size(x, 1))
            || fallbacks.Refuse(NormKernels.Guard("rms_norm_fp8", x, weight))
        )
        {
            return null;
        }

        var (output, quantized, inverse) = NormFp8(x, null, weight, null, epsilon, keepOutput);
        return (output, quantized, inverse);
    }

    public (Tensor Sum, Tensor? Output, Fp8Rows Quantized, Tensor InverseRms)? AddRmsNormFp8(
        Tensor x,
        Tensor delta,
        Tensor weight,
        double epsilon,
        bool keepOutput
    )
    {
        if (
            Refuses("add_rms_norm_fp8", x, KernelTensor.Size(x, 1))
            || fallbacks.Refuse(NormKernels.Guard("add_rms_norm_fp8", x, delta, weight))
        )
        {
            return null;
        }

        var sum = KernelTensor.Like(x);
        var (output, quantized, inverse) = NormFp8(x, delta, weight, sum, epsilon, keepOutput);
        return (sum, output, quantized, inverse);
    }

    public (Tensor Result, Fp8Rows Quantized)? RmsNormBackwardFp8(
        Tensor gradient,
        Tensor x,
        Tensor weight,
        Tensor inverseRms,
        Tensor residualGradient
    )
    {
        var (rows, width) = (KernelTensor.Size(x, 0), KernelTensor.Size(x, 1));
        if (
            Refuses("rms_norm_backward_fp8", x, width)
            || fallbacks.Refuse(NormKernels.Guard("rms_norm_backward_fp8", x, gradient, weight, residualGradient))
        )
        {
            return null;
        }

        var (result, quantized) = (KernelTensor.Like(x), NewRows(x, rows, width));
        Launch(
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

    public Fp8Rows? SwiGluFp8(Tensor gateUp)
    {
        var (rows, width) = (KernelTensor.Size(gateUp, 0), KernelTensor.Size(gateUp, 1) / 2);
        if (Refuses("swiglu_fp8", gateUp, width))
        {
            return null;
        }

        var result = NewRows(gateUp, rows, width);
        Launch("swiglu_fp8", gateUp, rows, width, gateUp, result.Values, result.Scales, width);
        return result;
    }

    public Fp8Rows? SwiGluBackwardFp8(Tensor gradient, Tensor gateUp)
    {
        var (rows, width) = (KernelTensor.Size(gateUp, 0), KernelTensor.Size(gateUp, 1) / 2);
        if (Refuses("swiglu_backward_fp8", gateUp, width, gradient))
        {
            return null;
        }

        var result = NewRows(gateUp, rows, 2 * width);
        Launch("swiglu_backward_fp8", gateUp, rows, width, gradient, gateUp, result.Values, result.Scales, width);
        return result;
    }

    public Tensor? Fp8Product(Fp8Rows x, Fp8Matrix weight, Tensor? bias, ScalarType type)
    {
        if (Refuses(weight, type))
        {
            return null;
        }

        using var scope = NewDisposeScope();
        return ScaledProduct
            .Call(x.Values, weight.Values.t(), x.Scales, weight.OutputScales, bias, Argument.None, type, true)
            .MoveToOuterDisposeScope();
    }

    public Tensor? Fp8ProductBackward(Fp8Rows gradient, Fp8Matrix weight, ScalarType type)
    {
        if (Refuses(weight, type))
        {
            return null;
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

    private bool Refuses(Fp8Matrix weight, ScalarType type) =>
        fallbacks.Refuse(
            KernelGuard
                .For("fp8 product")
                .Needs(multipliesFp8, Capability)
                .Needs(weight.Values.device.type == DeviceType.CUDA, "a GPU")
                .Needs(type == ScalarType.BFloat16, "a model in bfloat16")
                .Needs(Fp8.Fits(weight.Values.shape), "a weight whose sides are multiples of 16")
        );

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
        Launch(
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

    // width is that of the result.
    private bool Refuses(string kernel, Tensor x, int width, Tensor? other = null)
    {
        var type = KernelTensor.TypeOf(x);
        return KernelTensor.Size(x, 0) == 0
            || fallbacks.Refuse(
                KernelGuard
                    .For(kernel)
                    .Needs(multipliesFp8, Capability)
                    .NeedsVectors(type, x, other)
                    .Needs(width % 16 == 0, "rows that are a multiple of 16 elements")
                    .Needs(
                        width / KernelTensor.VectorWidth(type) <= MaxPieces * MaxThreads,
                        "rows of at most 4,096 pieces of 16 bytes"
                    )
            );
    }

    private static Fp8Rows NewRows(Tensor like, int rows, int width) =>
        new(
            KernelTensor.Empty(Fp8.E4M3, like.device, rows, width),
            KernelTensor.Empty(ScalarType.Float32, like.device, rows, 1)
        );

    // width is that of the pieces that a thread keeps.
    private void Launch(
        string function,
        Tensor like,
        int rows,
        int width,
        params ReadOnlySpan<KernelArgument> arguments
    )
    {
        var packs = width / KernelTensor.VectorWidth(KernelTensor.TypeOf(like));
        var pieces = 2;
        while (pieces * MaxThreads < packs)
        {
            pieces *= 2;
        }

        launcher.Launch(
            new("fp8", function, KernelTensor.TypeOf(like), "PACKS", pieces),
            new(rows),
            Threads.For((packs + pieces - 1) / pieces, MaxThreads),
            arguments
        );
    }
}
