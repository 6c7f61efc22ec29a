using GlmTune.Kernels.Definitions;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Cuda;

/// <summary>RMS norms and their backward pass.</summary>
internal sealed class NormKernels(IKernelLauncher launcher, PlainKernels plain, KernelFallbacks fallbacks)
{
    // rms_norm.cu keeps up to this many 16-byte pieces of a row in each of at most this many threads.
    private const int MaxPieces = 4;
    private const int MaxThreads = 512;

    /// <summary>What the norm of the rows of <paramref name="x"/> needs; other inputs are of its type.</summary>
    public static KernelGuard Guard(string kernel, Tensor x, params ReadOnlySpan<Tensor?> others)
    {
        var (type, width) = (KernelTensor.TypeOf(x), KernelTensor.Size(x, 1));
        return KernelGuard
            .For(kernel)
            .NeedsVectors(type, x)
            .NeedsVectors(type, others)
            .NeedsWholeVectors(type, width)
            .Needs(
                width / KernelTensor.VectorWidth(type) <= MaxPieces * MaxThreads,
                "rows of at most 2,048 pieces of 16 bytes"
            );
    }

    public (Tensor Output, Tensor InverseRms) RmsNorm(Tensor x, Tensor weight, double epsilon)
    {
        if (fallbacks.Refuse(Guard("rms_norm", x, weight)))
        {
            return plain.RmsNorm(x, weight, epsilon);
        }

        var (output, inverse) = (
            KernelTensor.Like(x),
            KernelTensor.Empty(ScalarType.Float32, x.device, KernelTensor.Size(x, 0), 1)
        );
        Launch(x, null, weight, null, output, inverse, epsilon);
        return (output, inverse);
    }

    public (Tensor Sum, Tensor Output, Tensor InverseRms) AddRmsNorm(
        Tensor x,
        Tensor delta,
        Tensor weight,
        double epsilon
    )
    {
        if (fallbacks.Refuse(Guard("add_rms_norm", x, delta, weight)))
        {
            return plain.AddRmsNorm(x, delta, weight, epsilon);
        }

        var (sum, output, inverse) = (
            KernelTensor.Like(x),
            KernelTensor.Like(x),
            KernelTensor.Empty(ScalarType.Float32, x.device, KernelTensor.Size(x, 0), 1)
        );
        Launch(x, delta, weight, sum, output, inverse, epsilon);
        return (sum, output, inverse);
    }

    public Tensor RmsNormBackward(
        Tensor gradient,
        Tensor x,
        Tensor weight,
        Tensor inverseRms,
        Tensor? residualGradient,
        Tensor? weightGradient
    )
    {
        if (
            fallbacks.Refuse(
                Guard("rms_norm_backward", x, gradient, weight, residualGradient)
                    .Needs(
                        weightGradient is null || KernelTensor.TypeOf(weightGradient) == ScalarType.Float32,
                        "a weight gradient in float32"
                    )
            )
        )
        {
            return plain.RmsNormBackward(gradient, x, weight, inverseRms, residualGradient, weightGradient);
        }

        var (rows, width) = (KernelTensor.Size(x, 0), KernelTensor.Size(x, 1));
        var result = KernelTensor.Like(x);
        // With a weight gradient, few blocks process many rows each, and write one partial sum each.
        var blocks = weightGradient is null ? rows : Math.Min(rows, 4 * launcher.Multiprocessors);
        var pieces = PiecesFor(x);
        if (weightGradient is null)
        {
            launcher.Launch(
                Kernel("rms_norm_backward", x, pieces),
                new(blocks),
                Block(x, pieces),
                gradient,
                x,
                weight,
                inverseRms,
                residualGradient,
                result,
                rows,
                width
            );
            return result;
        }

        using var partial = KernelTensor.Empty(ScalarType.Float32, x.device, blocks, width);
        launcher.Launch(
            Kernel("rms_norm_backward_weight", x, pieces),
            new(blocks),
            Block(x, pieces),
            gradient,
            x,
            weight,
            inverseRms,
            residualGradient,
            result,
            partial,
            rows,
            width
        );
        Columns.Add(launcher, partial, weightGradient, blocks, width);
        return result;
    }

    private static KernelName Kernel(string function, Tensor x, int pieces) =>
        new("rms_norm", function, KernelTensor.TypeOf(x), "PACKS", pieces);

    // Two pieces per thread in flight are enough; longer rows use four rather than more than 512 threads.
    private static int PiecesFor(Tensor x) =>
        KernelTensor.Size(x, 1) / KernelTensor.VectorWidth(KernelTensor.TypeOf(x)) <= 2 * MaxThreads ? 2 : MaxPieces;

    private static int Block(Tensor x, int pieces) =>
        Threads.For(
            ((KernelTensor.Size(x, 1) / KernelTensor.VectorWidth(KernelTensor.TypeOf(x))) + pieces - 1) / pieces,
            MaxThreads
        );

    private void Launch(
        Tensor x,
        Tensor? delta,
        Tensor weight,
        Tensor? sum,
        Tensor output,
        Tensor inverse,
        double epsilon
    )
    {
        var pieces = PiecesFor(x);
        launcher.Launch(
            Kernel("rms_norm", x, pieces),
            new(KernelTensor.Size(x, 0)),
            Block(x, pieces),
            x,
            delta,
            weight,
            sum,
            output,
            inverse,
            KernelTensor.Size(x, 1),
            (float)epsilon
        );
    }
}
