using System.Diagnostics;
using GlmTune.Collectives;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Benchmarking;

/// <summary>What one collective of one size took.</summary>
/// <param name="Operation">Which collective.</param>
/// <param name="Bytes">Of the whole: what is gathered, scattered or summed.</param>
/// <param name="Seconds">Mean time of a call.</param>
/// <param name="AlgorithmBandwidth">Bytes divided by the time, GB/s.</param>
/// <param name="BusBandwidth">What each rank's link carried, GB/s: (N − 1)/N of the former for gathers and scatters,
/// twice that for all-reduce.</param>
public sealed record CollectiveTiming(
    string Operation,
    long Bytes,
    double Seconds,
    double AlgorithmBandwidth,
    double BusBandwidth
);

/// <summary>Times all-reduce, all-gather and reduce-scatter between the ranks that there are, as NVIDIA's nccl-tests
/// count bandwidth.</summary>
/// <remarks>Source of the formulas: nccl-tests, doc/PERFORMANCE.md.</remarks>
public static class CollectivesBenchmark
{
    /// <summary>Runs it; every rank calls it.</summary>
    /// <param name="ranks">The ranks.</param>
    /// <param name="smallest">Bytes of the first size.</param>
    /// <param name="largest">Bytes of the last; each is 4 times the one before.</param>
    /// <param name="rounds">Timed calls of each.</param>
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
