using System.Diagnostics;
using GlmTune.Collectives;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Benchmarking;

/// <summary>The timing of one collective at one size.</summary>
/// <param name="Operation">Name of the collective.</param>
/// <param name="Bytes">Size of the full buffer that is gathered, scattered or summed.</param>
/// <param name="Seconds">Mean time per call.</param>
/// <param name="AlgorithmBandwidth">Bytes divided by time, in GB/s.</param>
/// <param name="BusBandwidth">Traffic on each rank's link, in GB/s: (N − 1)/N of the algorithm bandwidth for gathers
/// and scatters, twice that for all-reduce.</param>
internal sealed record CollectiveTiming(
    string Operation,
    long Bytes,
    double Seconds,
    double AlgorithmBandwidth,
    double BusBandwidth
);

/// <summary>Times all-reduce, all-gather and reduce-scatter among the ranks, with bandwidth defined as in NVIDIA's
/// nccl-tests.</summary>
/// <remarks>Source of the formulas: nccl-tests, doc/PERFORMANCE.md.</remarks>
internal static class CollectivesBenchmark
{
    /// <summary>Runs the benchmark; every rank calls it.</summary>
    /// <param name="ranks">The ranks.</param>
    /// <param name="smallest">Bytes of the first size.</param>
    /// <param name="largest">Upper limit of the size in bytes; each size is 4 times the one before.</param>
    /// <param name="rounds">Timed calls per collective and size.</param>
    public static IReadOnlyList<CollectiveTiming> Run(ICollectives ranks, long smallest, long largest, int rounds)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(smallest, 2L * ranks.WorldSize);
        var results = new List<CollectiveTiming>();
        for (var bytes = smallest; bytes <= largest; bytes *= 4)
        {
            using var scope = NewDisposeScope();
            using var noGradient = no_grad();
            var count = bytes / 2 / ranks.WorldSize * ranks.WorldSize;
            var full = ones(count, ScalarType.BFloat16, ranks.Device);
            var shard = ones(count / ranks.WorldSize, ScalarType.BFloat16, ranks.Device);
            var share = (ranks.WorldSize - 1) / (double)ranks.WorldSize;
            results.Add(Time("all-reduce", count * 2, 2 * share, () => ranks.AllReduceSum(full)));
            results.Add(Time("all-gather", count * 2, share, () => ranks.AllGather(shard, full)));
            results.Add(Time("reduce-scatter", count * 2, share, () => ranks.ReduceScatterSum(full, shard)));
        }

        return results;

        CollectiveTiming Time(string operation, long bytes, double busFactor, Func<Pending> call)
        {
            for (var i = 0; i < 5; i++)
            {
                call().Wait();
            }

            Finish();
            var watch = Stopwatch.StartNew();
            for (var i = 0; i < rounds; i++)
            {
                call().Wait();
            }

            Finish();
            var seconds = watch.Elapsed.TotalSeconds / rounds;
            var bandwidth = bytes / seconds / 1e9;
            return new CollectiveTiming(operation, bytes, seconds, bandwidth, bandwidth * busFactor);
        }

        void Finish()
        {
            ranks.Barrier();
            if (ranks.Device.type == DeviceType.CUDA)
            {
                cuda.synchronize(ranks.Device);
            }
        }
    }
}
