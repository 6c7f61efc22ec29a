using GlmTune.Kernels.Definitions;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Cuda;

/// <summary>SwiGLU and dropout.</summary>
internal sealed class ActivationKernels(IKernelLauncher launcher, PlainKernels plain, KernelFallbacks fallbacks)
{
    public Tensor SwiGlu(Tensor gateUp)
    {
        var (rows, width) = (KernelTensor.Size(gateUp, 0), KernelTensor.Size(gateUp, 1) / 2);
        if (fallbacks.Refuse(SwiGluGuard("swiglu", gateUp, width)))
        {
            return plain.SwiGlu(gateUp);
        }

        var output = KernelTensor.Empty(KernelTensor.TypeOf(gateUp), gateUp.device, rows, width);
        launcher.Launch(
            new("swiglu", "swiglu", KernelTensor.TypeOf(gateUp)),
            RowGrid(rows, width, KernelTensor.TypeOf(gateUp)),
            Threads.PerBlock,
            gateUp,
            output,
            width
        );
        return output;
    }

    public Tensor SwiGluBackward(Tensor gradient, Tensor gateUp)
    {
        var (rows, width) = (KernelTensor.Size(gateUp, 0), KernelTensor.Size(gateUp, 1) / 2);
        if (fallbacks.Refuse(SwiGluGuard("swiglu_backward", gateUp, width, gradient)))
        {
            return plain.SwiGluBackward(gradient, gateUp);
        }

        var result = KernelTensor.Like(gateUp);
        launcher.Launch(
            new("swiglu", "swiglu_backward", KernelTensor.TypeOf(gateUp)),
            RowGrid(rows, width, KernelTensor.TypeOf(gateUp)),
            Threads.PerBlock,
            gradient,
            gateUp,
            result,
            width
        );
        return result;
    }

    public Tensor Dropout(Tensor x, double probability, MaskSeed seed)
    {
        if (
            fallbacks.Refuse(
                KernelGuard
                    .For("dropout")
                    .NeedsVectors(KernelTensor.TypeOf(x), x)
                    .Needs(x.numel() < 1L << 32, "fewer than 2³² elements")
            )
        )
        {
            return plain.Dropout(x, probability, seed);
        }

        var output = KernelTensor.Like(x);
        launcher.Launch(
            new("dropout", "dropout", KernelTensor.TypeOf(x)),
            Grid.Covering(x.numel(), Threads.PerBlock * KernelTensor.VectorWidth(KernelTensor.TypeOf(x))),
            Threads.PerBlock,
            x,
            output,
            x.numel(),
            seed.Stored,
            seed.Key,
            DropoutMask.Threshold(probability),
            (float)(1 / (1 - probability))
        );
        return output;
    }

    private static KernelGuard SwiGluGuard(string kernel, Tensor gateUp, int width, Tensor? gradient = null)
    {
        var type = KernelTensor.TypeOf(gateUp);
        return KernelGuard.For(kernel).NeedsVectors(type, gateUp, gradient).NeedsWholeVectors(type, width);
    }

    private static Grid RowGrid(int rows, int width, ScalarType type) =>
        new(rows, (int)Grid.Covering(width, Threads.PerBlock * KernelTensor.VectorWidth(type)).X);
}
