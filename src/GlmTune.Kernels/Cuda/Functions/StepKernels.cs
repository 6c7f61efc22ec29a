using GlmTune.Kernels.Definitions;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Cuda;

/// <summary>The two ends of a training step: the loss with its gradient, and the update.</summary>
internal sealed class StepKernels(IKernelLauncher launcher, PlainKernels plain, KernelFallbacks fallbacks)
{
    public Tensor CrossEntropy(Tensor logits, Tensor targets, LossScale scale)
    {
        var (rows, width) = (KernelTensor.Size(logits, 0), KernelTensor.Size(logits, 1));
        if (
            rows == 0
            || fallbacks.Refuse(
                KernelGuard
                    .For("cross_entropy")
                    .NeedsVectors(KernelTensor.TypeOf(logits), logits)
                    .NeedsContiguous(targets)
                    .NeedsWholeVectors(KernelTensor.TypeOf(logits), width)
                    .Needs(IsFloat32(scale.Stored), "a scale in float32")
            )
        )
        {
            return plain.CrossEntropy(logits, targets, scale);
        }

        using var losses = KernelTensor.Empty(ScalarType.Float32, logits.device, rows);
        launcher.Launch(
            new("cross_entropy", "cross_entropy", KernelTensor.TypeOf(logits)),
            new(rows),
            Threads.For(width / KernelTensor.VectorWidth(KernelTensor.TypeOf(logits)), 1024),
            logits,
            targets,
            losses,
            width,
            scale.Stored,
            (float)scale.Value
        );
        return losses.sum();
    }

    public void AdamW(
        Tensor master,
        Tensor gradient,
        Tensor firstMoment,
        Tensor secondMoment,
        Tensor gradientScale,
        in AdamWStep settings,
        Tensor? compute = null
    )
    {
        var type = compute?.dtype ?? KernelTensor.TypeOf(gradient);
        if (
            fallbacks.Refuse(
                KernelGuard
                    .For("adamw")
                    .NeedsContiguous(master, firstMoment, secondMoment, gradient, compute)
                    .Needs(IsFloat32(gradientScale) && IsFloat32(settings.Stored), "factors in float32")
                    .Needs(IsFloat32(master), "master weights in float32")
                    .Needs(
                        KernelTensor.IsKnown(KernelTensor.TypeOf(gradient)) && KernelTensor.IsKnown(type),
                        "gradients and weights in bfloat16, float16 or float32"
                    )
            )
        )
        {
            plain.AdamW(master, gradient, firstMoment, secondMoment, gradientScale, settings, compute);
            return;
        }

        var aligned =
            KernelTensor.IsAligned(master)
            && KernelTensor.IsAligned(firstMoment)
            && KernelTensor.IsAligned(secondMoment)
            && KernelTensor.IsAlignedForFour(gradient)
            && KernelTensor.IsAlignedForFour(compute);
        launcher.Launch(
            new("adamw", "adamw", KernelTensor.TypeOf(gradient), "COMPUTE", (int)type),
            Grid.Covering(master.numel(), 4 * Threads.PerBlock),
            Threads.PerBlock,
            master,
            gradient,
            firstMoment,
            secondMoment,
            gradientScale,
            compute,
            master.numel(),
            aligned ? 1 : 0,
            (float)settings.Beta1,
            (float)settings.Beta2,
            (float)settings.Epsilon,
            settings.Stored,
            (float)settings.Factors.Shrink,
            (float)settings.Factors.Rate,
            (float)settings.Factors.InverseCorrection2
        );
    }

    // Or null.
    private static bool IsFloat32(Tensor? tensor) =>
        tensor is null || KernelTensor.TypeOf(tensor) == ScalarType.Float32;
}
