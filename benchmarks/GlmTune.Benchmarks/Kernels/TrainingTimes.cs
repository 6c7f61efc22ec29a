using System.Diagnostics;
using GlmTune.Kernels;
using GlmTune.Kernels.Cuda;
using GlmTune.Kernels.Definitions;
using static TorchSharp.torch;

namespace GlmTune.Benchmarks.Kernels;

/// <summary>The element-wise work of one layer on 8,192 tokens, the loss and the optimizer.</summary>
internal static class TrainingTimes
{
    private const int Tokens = 8192;
    private const int Hidden = 4096;
    private const int FeedForward = 13696;
    private const int Vocabulary = 151552;

    public static void Measure(CudaKernels kernels, Device device, Report report)
    {
        using var scope = NewDisposeScope();
        using var timer = new KernelTimer(device);
        var plain = new PlainKernels();
        Tensor Random(params long[] shape) => randn(shape, ScalarType.BFloat16, device);

        report.Time(
            "matrix product 8192³",
            timer.Microseconds(4, _ => timer.Multiply()),
            operations: 2 * Math.Pow(8192, 3)
        );
        var (large, copy) = (Random(1 << 29), empty(1 << 29, ScalarType.BFloat16, device));
        report.Time("copy of 1 GiB", timer.Microseconds(4, _ => copy.copy_(large)), 2.0 * 2 * (1 << 29));
        large.Dispose();
        copy.Dispose();

        var row = 2.0 * Tokens * Hidden;
        var (x, delta, weight, residual) = (
            Random(Tokens, Hidden),
            Random(Tokens, Hidden),
            Random(Hidden),
            Random(Tokens, Hidden)
        );
        var (_, inverse) = kernels.RmsNorm(x, weight, 1e-7);
        report.Time("rms norm", timer.Microseconds(10, _ => kernels.RmsNorm(x, weight, 1e-7)), 2 * row);
        report.Time("rms norm, plain operators", timer.Microseconds(4, _ => plain.RmsNorm(x, weight, 1e-7)), 2 * row);
        report.Time("add, rms norm", timer.Microseconds(10, _ => kernels.AddRmsNorm(x, delta, weight, 1e-7)), 4 * row);
        report.Time(
            "rms norm backward, residual",
            timer.Microseconds(10, _ => kernels.RmsNormBackward(delta, x, weight, inverse, residual, null)),
            4 * row
        );
        var weightGradient = zeros(Hidden, device: device);
        report.Time(
            "rms norm backward, residual, weight",
            timer.Microseconds(10, _ => kernels.RmsNormBackward(delta, x, weight, inverse, residual, weightGradient)),
            4 * row
        );

        var heads = new HeadLayout(32, 2, 128, 64);
        var (fused, angles) = (Random(Tokens, heads.FusedWidth), randn(Tokens, 32, device: device));
        var (cosine, sine) = (angles.cos(), angles.sin());
        report.Time(
            "rotary",
            timer.Microseconds(10, _ => kernels.Rotate(fused, cosine, sine, heads)),
            (2.0 * 2 * Tokens * 34 * 64) + (2.0 * 4 * Tokens * 32)
        );
        report.Time(
            "rotary, plain operators",
            timer.Microseconds(4, _ => plain.Rotate(fused, cosine, sine, heads)),
            2.0 * 2 * Tokens * 34 * 64
        );

        var (gateUp, outer) = (Random(Tokens, 2 * FeedForward), Random(Tokens, FeedForward));
        report.Time("swiglu", timer.Microseconds(6, _ => kernels.SwiGlu(gateUp)), 3 * 2.0 * Tokens * FeedForward);
        report.Time(
            "swiglu, plain operators",
            timer.Microseconds(4, _ => plain.SwiGlu(gateUp)),
            3 * 2.0 * Tokens * FeedForward
        );
        report.Time(
            "swiglu backward",
            timer.Microseconds(6, _ => kernels.SwiGluBackward(outer, gateUp)),
            5 * 2.0 * Tokens * FeedForward
        );
        report.Time(
            "swiglu backward, plain operators",
            timer.Microseconds(2, _ => plain.SwiGluBackward(outer, gateUp)),
            5 * 2.0 * Tokens * FeedForward
        );
        report.Time("dropout", timer.Microseconds(10, _ => kernels.Dropout(x, 0.1, 5)), 2 * row);
        report.Time("dropout, plain operators", timer.Microseconds(4, _ => plain.Dropout(x, 0.1, 5)), 2 * row);

        foreach (var rank in (int[])[8, 24])
        {
            var (a, low) = (Random(rank, Hidden), Random(Tokens, rank));
            var (inputGradient, lowWeightGradient) = (Random(Tokens, Hidden), zeros(rank, Hidden, device: device));
            report.Time(
                $"low rank {rank}, dropout",
                timer.Microseconds(10, _ => kernels.LowRankDown(x, a, 0.1, 5)),
                row
            );
            report.Time(
                "  by dropout and product",
                timer.Microseconds(10, _ => kernels.Dropout(x, 0.1, 5).mm(a.t())),
                row
            );
            report.Time(
                $"low rank {rank}, input gradient",
                timer.Microseconds(10, _ => kernels.LowRankDownBackward(low, x, a, 0.1, 5, inputGradient, null)),
                2 * row
            );
            report.Time(
                "  by product, dropout and sum",
                timer.Microseconds(10, _ => inputGradient.AddInPlace(kernels.Dropout(low.mm(a), 0.1, 5))),
                2 * row
            );
            report.Time(
                $"low rank {rank}, weight gradient",
                timer.Microseconds(10, _ => kernels.LowRankDownBackward(low, x, a, 0.1, 5, null, lowWeightGradient)),
                row
            );
            report.Time(
                "  by dropout and product",
                timer.Microseconds(10, _ => lowWeightGradient.AddInPlace(low.t().mm(kernels.Dropout(x, 0.1, 5)))),
                row
            );
        }

        var (logits, targets) = (Random(2048, Vocabulary), randint(0, Vocabulary, [2048], ScalarType.Int64, device));
        report.Time(
            "cross-entropy, 2048 rows (read, written once)",
            timer.Microseconds(4, _ => kernels.CrossEntropy(logits, targets, 1)),
            2 * 2.0 * 2048 * Vocabulary
        );
        report.Time(
            "cross-entropy, plain operators",
            timer.Microseconds(2, _ => plain.CrossEntropy(logits, targets, 1)),
            2 * 2.0 * 2048 * Vocabulary
        );

        const long Parameters = 100_000_000;
        var (master, first, second) = (
            randn(Parameters, device: device),
            zeros(Parameters, device: device),
            zeros(Parameters, device: device)
        );
        var (gradient, compute, scale) = (Random(Parameters), Random(Parameters), ones([], device: device));
        var step = new AdamWStep(1e-4, 0.9, 0.999, 1e-8, 0.01, 10);
        report.Time(
            "adamw, 1e8 parameters, bf16 copy",
            timer.Microseconds(4, _ => kernels.AdamW(master, gradient, first, second, scale, step, compute)),
            28.0 * Parameters
        );

        var (few, fewWeight) = (Random(192, Hidden), Random(Hidden));
        report.Time(
            "CPU: one kernel queued (192 rows)",
            QueueMicroseconds(device, () => kernels.RmsNorm(few, fewWeight, 1e-7))
        );
        var (fewFused, fewGradient) = (Random(192, heads.FusedWidth), Random(192, Hidden));
        using var rows = SequenceLayout.OfRows(1, 192, device);
        report.Time(
            "CPU: attention forward + backward queued (192 rows)",
            QueueMicroseconds(
                device,
                () =>
                {
                    using var tape = new Tape();
                    _ = kernels.Attention(fewFused, heads, rows, null, tape);
                    _ = kernels.AttentionBackward(fewGradient, heads, rows, null, tape);
                }
            )
        );
        using var planned = SequenceLayout.OfRows(1, 128, device);
        var (plannedFused, plannedGradient) = (Random(128, heads.FusedWidth), Random(128, Hidden));
        report.Time(
            "CPU: attention forward + backward queued (128 rows, cuDNN)",
            QueueMicroseconds(
                device,
                () =>
                {
                    using var tape = new Tape();
                    _ = kernels.Attention(plannedFused, heads, planned, null, tape);
                    _ = kernels.AttentionBackward(plannedGradient, heads, planned, null, tape);
                }
            )
        );
        report.Time("CPU: swiglu queued (192 rows)", QueueMicroseconds(device, () => kernels.SwiGlu(fewFused)));
        report.Time("CPU: one addition queued by TorchSharp", QueueMicroseconds(device, () => few.Add(few)));
    }

    private static double QueueMicroseconds(Device device, Action work)
    {
        const int Calls = 300;
        var best = double.MaxValue;
        for (var sample = 0; sample < 3; sample++)
        {
            TorchSharp.torch.cuda.synchronize(device);
            var watch = Stopwatch.StartNew();
            for (var i = 0; i < Calls; i++)
            {
                using var scope = NewDisposeScope();
                work();
            }

            best = Math.Min(best, watch.Elapsed.TotalMicroseconds / Calls);
        }

        return best;
    }
}
