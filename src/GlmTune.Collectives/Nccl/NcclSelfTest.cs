using System.Diagnostics;
using GlmTune.Kernels;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Collectives;

/// <summary>Checks and benchmarks NCCL on the available GPUs: results of every collective, bandwidth, and overlap with
/// computation.</summary>
internal static class NcclSelfTest
{
    private static readonly ScalarType[] Types =
    [
        ScalarType.Float32,
        ScalarType.BFloat16,
        ScalarType.Float16,
        ScalarType.Float64,
        ScalarType.Int64,
    ];

    /// <summary>Runs on the ranks defined by the environment, or as a world of one.</summary>
    /// <param name="log">Receives the results, on rank 0.</param>
    /// <returns>Whether every result was correct on all ranks.</returns>
    /// <exception cref="DllNotFoundException">NCCL is not installed.</exception>
    public static bool Run(TextWriter log)
    {
        using var ranks = Rendezvous
            .FromEnvironment()
            .Connect(new Device(DeviceType.CUDA, 0), backend: BackendKind.Nccl);
        return Run(ranks, log);
    }

    /// <summary>Runs on ranks that are already connected.</summary>
    public static bool Run(ICollectives ranks, TextWriter log) =>
        Run(ranks, log, [1, 16, 256, 1024], matrixSize: 8192, $"NCCL {LibraryVersion()}");

    /// <summary>Like the other overloads, for ranks of any backend, with other message and matrix sizes.</summary>
    internal static bool Run(ICollectives ranks, TextWriter log, int[] megabytes, int matrixSize, string library)
    {
        var wrong = Types
            .SelectMany(type => Enumerable.Range(0, 3).SelectMany(_ => WrongResults(ranks, type)))
            .Distinct()
            .ToArray();
        var allRight = !ranks.Any(wrong.Length > 0);
        foreach (
            var finding in ranks
                .GatherStrings(wrong)
                .SelectMany((findings, rank) => findings.Select(finding => $"rank {rank}: {finding}"))
        )
        {
            Write(ranks, log, finding);
        }

        Write(ranks, log, $"{library}, {ranks.WorldSize} ranks: results {(allRight ? "correct" : "WRONG")}");
        foreach (var size in megabytes)
        {
            Measure(ranks, log, size);
        }

        MeasureOverlap(ranks, log, matrixSize);
        return allRight;
    }

    // Integers small enough that every type and every order of summation gives the same result.
    private static IEnumerable<string> WrongResults(ICollectives ranks, ScalarType type)
    {
        const int Count = 4099;
        using var scope = NewDisposeScope();
        using var noGradient = no_grad();
        var (n, me) = (ranks.WorldSize, ranks.Rank);
        Tensor Of(int rank, int count) =>
            TensorCreation.Range(count, device: ranks.Device).Remainder(7).Add(rank).to(type);
        Tensor Sum(int count) => Enumerable.Range(0, n).Select(rank => Of(rank, count)).Aggregate((a, b) => a.Add(b));
        Tensor Part(Tensor whole, int rank) => whole.narrow(0, rank * Count, Count);

        var full = zeros(n * Count, type, ranks.Device);
        var shard = zeros(Count, type, ranks.Device);
        var reduced = Of(me, Count);
        var sent = Of(n - 1, Count);
        var broadcast = Of(me, Count);
        var exchanged = zeros(n * Count, type, ranks.Device);
        var shifted = zeros(Count, type, ranks.Device);
        // Groups of two where there are several, with sizes of their own.
        var group = n % 2 == 0 ? 2 : n;
        var first = me / group * group;
        var inGroups = zeros(group * (Count + first), type, ranks.Device);
        Pending[] calls =
        [
            ranks.AllGather(Of(me, Count), full),
            ranks.ReduceScatterSum(Of(me, n * Count), shard),
            ranks.AllReduceSum(reduced),
            ranks.Broadcast(broadcast, n - 1),
            ranks.AllToAll(Of(me, n * Count), exchanged),
            ranks.RingShift(Of(me, Count), shifted),
            ranks.AllToAll(Of(me, group * (Count + first)), inGroups, group: group),
        ];
        Array.ForEach(calls, call => call.Wait());
        (string What, Tensor Expected, Tensor Actual)[] results =
        [
            ("AllGather", cat([.. Enumerable.Range(0, n).Select(rank => Of(rank, Count))]), full),
            ("ReduceScatterSum", Part(Sum(n * Count), me), shard),
            ("AllReduceSum", Sum(Count), reduced),
            ("Broadcast", sent, broadcast),
            ("AllToAll", cat([.. Enumerable.Range(0, n).Select(rank => Part(Of(rank, n * Count), me))]), exchanged),
            ("RingShift", Of((me + n - 1) % n, Count), shifted),
            (
                "AllToAll in groups",
                cat([
                    .. Enumerable
                        .Range(first, group)
                        .Select(rank => Of(rank, group * (Count + first)).view(group, -1)[me - first]),
                ]),
                inGroups
            ),
        ];
        return
        [
            .. results
                .Where(result => !result.Expected.eq(result.Actual).all().item<bool>())
                .Select(result => $"{result.What} of {type} is wrong"),
        ];
    }

    private static void Measure(ICollectives ranks, TextWriter log, int megabytes)
    {
        using var scope = NewDisposeScope();
        var count = (megabytes * (1L << 20) / 2 / ranks.WorldSize) * ranks.WorldSize;
        var full = ones(count, ScalarType.BFloat16, ranks.Device);
        var shard = ones(count / ranks.WorldSize, ScalarType.BFloat16, ranks.Device);
        foreach (
            var (what, call) in ((string, Func<Pending>)[])
                [
                    ("AllGather", () => ranks.AllGather(shard, full)),
                    ("ReduceScatterSum", () => ranks.ReduceScatterSum(full, shard)),
                    ("AllReduceSum", () => ranks.AllReduceSum(full)),
                ]
        )
        {
            const int Rounds = 10;
            call().Wait();
            ranks.Barrier();
            var clock = Stopwatch.StartNew();
            for (var round = 0; round < Rounds; round++)
            {
                call().Wait();
            }

            ranks.Barrier();
            var seconds = clock.Elapsed.TotalSeconds / Rounds;
            Write(
                ranks,
                log,
                $"{what} of {megabytes} MiB bfloat16: {seconds * 1e3:0.000} ms, {count * 2 / seconds / 1e9:0.0} GB/s"
            );
        }
    }

    // Matrix products fill the GPU while calls run concurrently: little of the calls' time should be exposed.
    private static void MeasureOverlap(ICollectives ranks, TextWriter log, int size)
    {
        using var scope = NewDisposeScope();
        using var noGradient = no_grad();
        var count = (long)size * size;
        var a = randn([size, size], ScalarType.BFloat16, ranks.Device);
        var shard = ones(count, ScalarType.BFloat16, ranks.Device);
        var full = ones(count * ranks.WorldSize, ScalarType.BFloat16, ranks.Device);
        var alone = Time(ranks, () => a.mm(a).Dispose());
        var before = ranks.Traffic.Total;
        var together = Time(
            ranks,
            () =>
            {
                var pending = ranks.AllGather(shard, full);
                a.mm(a).Dispose();
                pending.Wait();
            }
        );
        Thread.Sleep(200); // the counts lag behind the GPU
        var sent = ranks.Traffic.Total - before;
        Write(
            ranks,
            log,
            $"matrix product {alone:0.000} ms alone, {together:0.000} ms during an AllGather of "
                + $"{count * 2 >> 20} MiB per rank; overlap {sent.Overlap:P0} of {sent.Busy.TotalMilliseconds:0.0} "
                + "ms"
        );
    }

    private static double Time(ICollectives ranks, Action act)
    {
        const int Rounds = 20;
        act();
        ranks.Barrier();
        var clock = Stopwatch.StartNew();
        for (var round = 0; round < Rounds; round++)
        {
            act();
        }

        ranks.Barrier();
        return clock.Elapsed.TotalMilliseconds / Rounds;
    }

    private static string LibraryVersion()
    {
        Native.NcclNative.Check(Native.NcclNative.GetVersion(out var version), "ncclGetVersion");
        return $"{version / 10000}.{version / 100 % 100}.{version % 100}";
    }

    private static void Write(ICollectives ranks, TextWriter log, string line)
    {
        if (ranks.Rank == 0)
        {
            log.WriteLine(line);
        }
    }
}
