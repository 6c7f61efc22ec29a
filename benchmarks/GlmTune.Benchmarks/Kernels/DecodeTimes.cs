using GlmTune.Kernels;
using GlmTune.Kernels.Cuda;
using GlmTune.Kernels.Definitions;
using TorchSharp;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace GlmTune.Benchmarks.Kernels;

/// <summary>One new token a sequence: products of few rows, attention over the cache, and a whole step of 40 random
/// layers.</summary>
internal static class DecodeTimes
{
    private const int Layers = 40;
    private const int Hidden = 4096;
    private const int FeedForward = 13696;
    private const int Vocabulary = 151552;
    private static readonly HeadLayout Heads = new(32, 2, 128, 64);

    public static void Measure(CudaKernels kernels, Device device, Report report)
    {
        using var timer = new KernelTimer(device);
        using var weights = new Weights(device);
        Products(kernels, device, report, timer, weights);
        foreach (
            var (batch, length) in ((int, int)[])[(1, 300), (1, 4096), (1, 32768), (16, 300), (64, 300), (64, 2048)]
        )
        {
            Attention(kernels, device, report, timer, batch, length);
        }

        foreach (var batch in (int[])[1, 8, 16, 64])
        {
            Step(kernels, device, report, timer, weights, batch);
        }
    }

    /// <summary>A few launches for a profiler.</summary>
    public static void Probe(CudaKernels kernels, Device device)
    {
        using var scope = NewDisposeScope();
        var (x, weight, residual) = (
            randn(1, FeedForward, ScalarType.BFloat16, device),
            randn(Hidden, FeedForward, ScalarType.BFloat16, device),
            randn(1, Hidden, ScalarType.BFloat16, device)
        );
        var cache = RandomCache.Create(64, 2112, device);
        var fused = randn(64, Heads.FusedWidth, ScalarType.BFloat16, device);
        using var sequences = new CachedSequences(
            TensorCreation.Range(64, device: device),
            TensorCreation.Full([64], 2048, ScalarType.Int64, device),
            longest: 2048
        );
        for (var i = 0; i < 3; i++)
        {
            _ = kernels.Project(x, weight, null, residual);
            _ = kernels.CachedAttention(fused, Heads, cache, sequences);
        }

        TorchSharp.torch.cuda.synchronize(device);
    }

    private static void Products(CudaKernels kernels, Device device, Report report, KernelTimer timer, Weights weights)
    {
        foreach (var rows in (int[])[1, 2, 4, 8, 16, 64])
        {
            using var scope = NewDisposeScope();
            var (x, wide) = (
                randn(rows, Hidden, ScalarType.BFloat16, device),
                randn(rows, FeedForward, ScalarType.BFloat16, device)
            );
            var residual = randn(rows, Hidden, ScalarType.BFloat16, device);
            double Bytes(long outputs, long inputs) => 2.0 * ((outputs * inputs) + (rows * (outputs + inputs)));
            report.Time(
                $"project {rows} rows, 4096 → 4608, bias",
                timer.Microseconds(Layers, i => kernels.Project(x, weights.QueryKeyValue[i], weights.Bias)),
                Bytes(4608, 4096)
            );
            report.Time(
                "  the library's",
                timer.Microseconds(Layers, i => functional.linear(x, weights.QueryKeyValue[i], weights.Bias)),
                Bytes(4608, 4096)
            );
            report.Time(
                $"project {rows} rows, 4096 → 4096, residual",
                timer.Microseconds(Layers, i => kernels.Project(x, weights.Dense[i], null, residual)),
                Bytes(4096, 4096)
            );
            report.Time(
                "  the library's, without residual",
                timer.Microseconds(Layers, i => functional.linear(x, weights.Dense[i])),
                Bytes(4096, 4096)
            );
            report.Time(
                $"project {rows} rows, 4096 → 27392, swiglu",
                timer.Microseconds(Layers, i => kernels.ProjectSwiGlu(x, weights.GateUp[i])),
                Bytes(27392, 4096)
            );
            report.Time(
                "  the library's, without swiglu",
                timer.Microseconds(Layers, i => functional.linear(x, weights.GateUp[i])),
                Bytes(27392, 4096)
            );
            report.Time(
                $"project {rows} rows, 13696 → 4096, residual",
                timer.Microseconds(Layers, i => kernels.Project(wide, weights.Down[i], null, residual)),
                Bytes(4096, 13696)
            );
            report.Time(
                "  the library's, without residual",
                timer.Microseconds(Layers, i => functional.linear(wide, weights.Down[i])),
                Bytes(4096, 13696)
            );
            report.Time(
                $"project {rows} rows, 4096 → 151552",
                timer.Microseconds(5, i => kernels.Project(x, weights.Head)),
                Bytes(Vocabulary, 4096)
            );
            report.Time(
                "  the library's",
                timer.Microseconds(5, i => functional.linear(x, weights.Head)),
                Bytes(Vocabulary, 4096)
            );
        }

        using var logits = randn(64, Vocabulary, ScalarType.BFloat16, device);
        report.Time(
            "argmax, 64 rows",
            timer.Microseconds(10, _ => kernels.ArgMax(logits, 151343)),
            2.0 * 64 * Vocabulary
        );
    }

    private static void Attention(
        CudaKernels kernels,
        Device device,
        Report report,
        KernelTimer timer,
        int batch,
        int length
    )
    {
        using var scope = NewDisposeScope();
        // Several caches in turn, so that none is in the GPU's own cache.
        var copies = Math.Clamp((int)(4e8 / (batch * length * 1024.0)), 2, 40);
        var caches = Enumerable.Range(0, copies).Select(_ => RandomCache.Create(batch, length + 64, device)).ToArray();
        var fused = randn(batch, Heads.FusedWidth, ScalarType.BFloat16, device);
        using var sequences = new CachedSequences(
            TensorCreation.Range(batch, device: device),
            TensorCreation.Full([batch], length, ScalarType.Int64, device),
            longest: length
        );
        report.Time(
            $"decode attention, batch {batch}, {length} cached",
            timer.Microseconds(40, i => kernels.CachedAttention(fused, Heads, caches[i % copies], sequences)),
            2.0 * 2 * batch * length * 256
        );
    }

    private static void Step(
        CudaKernels kernels,
        Device device,
        Report report,
        KernelTimer timer,
        Weights weights,
        int batch
    )
    {
        using var scope = NewDisposeScope();
        const int Cached = 300;
        var caches = Enumerable.Range(0, Layers).Select(_ => RandomCache.Create(batch, 512, device)).ToArray();
        var (slots, places) = (
            TensorCreation.Range(batch, device: device),
            TensorCreation.Full([batch], Cached - 1, ScalarType.Int64, device)
        );
        using var sequences = new CachedSequences(
            slots,
            TensorCreation.Full([batch], Cached, ScalarType.Int64, device),
            longest: 512
        );
        var (cosine, sine) = (ones(batch, 32, device: device), zeros(batch, 32, device: device));
        var embedded = randn(batch, Hidden, ScalarType.BFloat16, device);
        Tensor? logits = null;
        void Work()
        {
            using var inner = NewDisposeScope();
            var hidden = embedded;
            for (var layer = 0; layer < Layers; layer++)
            {
                var (normalised, _) = kernels.RmsNorm(hidden, weights.Norm, 1e-7);
                var fused = kernels.Project(normalised, weights.QueryKeyValue[layer], weights.Bias);
                kernels.RotateAndCache(fused, cosine, sine, Heads, caches[layer], slots, places);
                var attended = kernels.CachedAttention(fused, Heads, caches[layer], sequences);
                hidden = kernels.Project(attended, weights.Dense[layer], null, hidden);
                (normalised, _) = kernels.RmsNorm(hidden, weights.Norm, 1e-7);
                hidden = kernels.Project(
                    kernels.ProjectSwiGlu(normalised, weights.GateUp[layer]),
                    weights.Down[layer],
                    null,
                    hidden
                );
            }

            var (last, _) = kernels.RmsNorm(hidden, weights.Norm, 1e-7);
            logits?.Dispose();
            logits = kernels.Project(last, weights.Head).DetachFromDisposeScope();
            _ = kernels.ArgMax(logits, 151343);
        }

        using var arena = new TensorArena(device, 1L << 30);
        CudaLauncher.Overlap = false;
        using (arena.Use())
        {
            Work();
        }

        var expected = logits!.clone();
        CudaLauncher.Overlap = true;
        var bytes = Weights.Bytes + (2.0 * 2 * Layers * batch * Cached * 256);
        report.Time(
            $"decode step of 40 layers, batch {batch}, queued one by one",
            timer.Microseconds(2, _ => Work()),
            bytes
        );
        using var graph = CudaGraph.RunAndCapture(device, arena, Work);
        report.Time(
            $"decode step of 40 layers, batch {batch}, recorded",
            timer.Microseconds(5, _ => graph.Replay()),
            bytes
        );
        CudaLauncher.Overlap = false;
        using (var serial = CudaGraph.RunAndCapture(device, arena, Work))
        {
            report.Time(
                $"decode step of 40 layers, batch {batch}, recorded, no overlap",
                timer.Microseconds(5, _ => serial.Replay()),
                bytes
            );
        }

        CudaLauncher.Overlap = true;
        var wrong = 0;
        for (var i = 0; i < 30; i++)
        {
            logits!.zero_();
            graph.Replay();
            wrong += logits.Equals(expected) ? 0 : 1;
        }

        if (wrong > 0)
        {
            report.Failures.Add(
                $"decode step, batch {batch}: {wrong} of 30 replays differ from kernels run one after another, by up "
                    + $"to {(logits! - expected).abs().max().item<float>()}"
            );
        }

        logits!.Dispose();
        Console.WriteLine(
            $"    {batch * 1e6 / report.Times[^2].Microseconds:F0} tokens/s; arena {arena.Used / 1e6:F0} MB"
        );
    }

    // Random weights of GLM-4-9B's shapes.
    private sealed class Weights : IDisposable
    {
        private readonly DisposeScope scope = NewDisposeScope();

        public Weights(Device device)
        {
            Tensor Random(long outputs, long inputs) =>
                randn(outputs, inputs, ScalarType.BFloat16, device).MultiplyInPlace(1 / Math.Sqrt(inputs));
            Tensor[] PerLayer(long outputs, long inputs) =>
                [.. Enumerable.Range(0, Layers).Select(_ => Random(outputs, inputs))];
            (QueryKeyValue, Dense, GateUp, Down) = (
                PerLayer(4608, Hidden),
                PerLayer(Hidden, Hidden),
                PerLayer(2 * FeedForward, Hidden),
                PerLayer(Hidden, FeedForward)
            );
            (Bias, Norm, Head) = (
                randn(4608, ScalarType.BFloat16, device),
                ones(Hidden, ScalarType.BFloat16, device),
                Random(Vocabulary, Hidden)
            );
        }

        public Tensor[] QueryKeyValue { get; }

        public Tensor[] Dense { get; }

        public Tensor[] GateUp { get; }

        public Tensor[] Down { get; }

        public Tensor Bias { get; }

        public Tensor Norm { get; }

        public Tensor Head { get; }

        public static double Bytes =>
            2.0 * ((Layers * (Hidden * (4608.0 + Hidden + (3 * FeedForward)))) + ((double)Hidden * Vocabulary));

        public void Dispose() => scope.Dispose();
    }
}
