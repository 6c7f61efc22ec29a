using System.Diagnostics;
using GlmTune.Kernels.Cuda;
using GlmTune.Kernels.Definitions;
using static TorchSharp.torch;

namespace GlmTune.Benchmarks.Kernels;

/// <summary>Training attention of GLM-4-9B's heads: sequences of one length, packed ones, and behind a
/// prefix.</summary>
internal static class AttentionTimes
{
    private static readonly HeadLayout Heads = new(32, 2, 128, 64);

    public static void Measure(CudaKernels kernels, Device device, Report report)
    {
        using var timer = new KernelTimer(device);
        Time(kernels, device, report, timer, "8 × 1024", Repeat(1024, 8), 0);
        Time(kernels, device, report, timer, "8 × 1023 (variable length)", Repeat(1023, 8), 0);
        Time(
            kernels,
            device,
            report,
            timer,
            "packed, 48 sequences, 8192 tokens",
            [.. Enumerable.Range(0, 48).Select(i => i == 47 ? 8192 - (47 * 170) : 120 + (i % 3 * 50))],
            0
        );
        Time(kernels, device, report, timer, "4 × 2048", Repeat(2048, 4), 0);
        Time(kernels, device, report, timer, "4 × 1024, 128 virtual tokens", Repeat(1024, 4), 128);
        Time(kernels, device, report, timer, "1 × 192", [192], 0);
        Console.WriteLine(
            $"not used: {(kernels.Fallbacks is { Count: > 0 } reasons ? string.Join("; ", reasons) : "nothing")}"
        );
        NewShape(kernels, device, report);
    }

    private static int[] Repeat(int length, int count) => [.. Enumerable.Repeat(length, count)];

    private static void Time(
        CudaKernels kernels,
        Device device,
        Report report,
        KernelTimer timer,
        string name,
        int[] lengths,
        int virtualTokens
    )
    {
        using var scope = NewDisposeScope();
        using var sequences = Sequences(lengths, device);
        var fused = randn(sequences.Tokens, Heads.FusedWidth, ScalarType.BFloat16, device);
        var gradient = randn(sequences.Tokens, Heads.QueryWidth, ScalarType.BFloat16, device);
        var prefix = virtualTokens == 0 ? null : randn([2, virtualTokens, 2, 128], ScalarType.BFloat16, device);
        var prefixGradient = prefix is null ? null : zeros([2, virtualTokens, 2, 128], ScalarType.Float32, device);
        // Half of the square of scores is seen, and each is a product of 128 for the score and one for the value.
        var operations = lengths.Sum(length =>
            4.0 * Heads.QueryHeads * Heads.HeadDim * length * ((length / 2.0) + virtualTokens)
        );
        report.Time(
            $"attention forward, {name}",
            timer.Microseconds(4, _ => kernels.Attention(fused, Heads, sequences, prefix, null)),
            operations: operations
        );
        report.Time(
            $"attention forward + backward, {name}",
            timer.Microseconds(
                3,
                call =>
                {
                    using var tape = new Tape();
                    _ = kernels.Attention(fused, Heads, sequences, prefix, tape);
                    _ = kernels.AttentionBackward(gradient, Heads, sequences, prefixGradient, tape);
                }
            ),
            operations: 3.5 * operations
        );
    }

    // What the first use of a shape costs: plans are prepared on the CPU.
    private static void NewShape(CudaKernels kernels, Device device, Report report)
    {
        foreach (var length in (int[])[384, 640, 641])
        {
            using var scope = NewDisposeScope();
            using var sequences = Sequences([length, length], device);
            var fused = randn(sequences.Tokens, Heads.FusedWidth, ScalarType.BFloat16, device);
            cuda.synchronize(device);
            var watch = Stopwatch.StartNew();
            using var tape = new Tape();
            var output = kernels.Attention(fused, Heads, sequences, null, tape);
            _ = kernels.AttentionBackward(output, Heads, sequences, null, tape);
            cuda.synchronize(device);
            report.Time($"first forward + backward of a new shape, 2 × {length}", watch.Elapsed.TotalMicroseconds);
        }
    }

    private static SequenceLayout Sequences(int[] lengths, Device device)
    {
        var starts = new int[lengths.Length + 1];
        for (var i = 0; i < lengths.Length; i++)
        {
            starts[i + 1] = starts[i] + lengths[i];
        }

        return new SequenceLayout(starts, device);
    }
}
