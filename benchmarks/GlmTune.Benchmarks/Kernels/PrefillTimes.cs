using GlmTune.Kernels;
using GlmTune.Kernels.Cuda;
using GlmTune.Kernels.Definitions;
using static TorchSharp.torch;

namespace GlmTune.Benchmarks.Kernels;

/// <summary>What a prompt of one sequence costs in each place of a layer.</summary>
internal static class PrefillTimes
{
    private const int Copies = 5; // Weights in turn, so that none is in the GPU's cache.
    private const int Hidden = 4096;
    private const int FeedForward = 13696;
    private static readonly HeadLayout Heads = new(32, 2, 128, 64);

    public static void Measure(CudaKernels kernels, Device device, Report report)
    {
        using var timer = new KernelTimer(device);
        foreach (var tokens in (int[])[1000, 1024])
        {
            using var scope = NewDisposeScope();
            Tensor Random(params long[] shape) => randn(shape, ScalarType.BFloat16, device);
            Tensor[] Weights(long outputs, long inputs) =>
                [.. Enumerable.Range(0, Copies).Select(_ => Random(outputs, inputs).MultiplyInPlace(0.02))];
            var (x, delta, wide, gateUp) = (
                Random(tokens, Hidden),
                Random(tokens, Hidden),
                Random(tokens, FeedForward),
                Random(tokens, 2 * FeedForward)
            );
            var (fused, bias, norm) = (
                Random(tokens, Heads.FusedWidth),
                Random(Heads.FusedWidth),
                ones(Hidden, ScalarType.BFloat16, device)
            );
            var cache = RandomCache.Create(1, 1088, device);
            var (slots, places) = (
                zeros(tokens, ScalarType.Int64, device),
                TensorCreation.Range(tokens, device: device)
            );
            var (cosine, sine) = (ones(tokens, 32, device: device), zeros(tokens, 32, device: device));
            using var sequences = SequenceLayout.OfRows(1, tokens, device);
            using var cached = new CachedSequences(
                sequences,
                [tokens],
                zeros(1, ScalarType.Int64, device),
                TensorCreation.Full([1], tokens, ScalarType.Int64, device)
            );
            void Product(string name, long outputs, long inputs, Tensor input, Tensor? with = null)
            {
                var weights = Weights(outputs, inputs);
                report.Time(
                    name,
                    timer.Microseconds(10, i => kernels.Project(input, weights[i % Copies], with)),
                    operations: 2.0 * tokens * outputs * inputs
                );
            }

            Product($"prompt of {tokens}, 4096 → 4608, bias", Heads.FusedWidth, Hidden, x, bias);
            Product($"prompt of {tokens}, 4096 → 4096", Hidden, Hidden, x);
            Product($"prompt of {tokens}, 4096 → 27392", 2 * FeedForward, Hidden, x);
            Product($"prompt of {tokens}, 13696 → 4096", Hidden, FeedForward, wide);
            report.Time(
                $"prompt of {tokens}, add, rms norm",
                timer.Microseconds(10, _ => kernels.AddRmsNorm(x, delta, norm, 1e-7))
            );
            report.Time(
                $"prompt of {tokens}, rotary into the cache",
                timer.Microseconds(10, _ => kernels.RotateAndCache(fused, cosine, sine, Heads, cache, slots, places))
            );
            report.Time(
                $"prompt of {tokens}, attention over the cache",
                timer.Microseconds(10, _ => kernels.CachedAttention(fused, Heads, cache, cached))
            );
            report.Time(
                $"prompt of {tokens}, attention of whole rows",
                timer.Microseconds(10, _ => kernels.Attention(fused, Heads, sequences, null, null))
            );
            report.Time($"prompt of {tokens}, swiglu", timer.Microseconds(10, _ => kernels.SwiGlu(gateUp)));
        }
    }
}
