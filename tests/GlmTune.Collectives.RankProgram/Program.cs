using System.Diagnostics;
using GlmTune.Collectives;
using GlmTune.Collectives.Tests;
using GlmTune.Kernels;
using GlmTune.Kernels.Native;
using TorchSharp;
using static TorchSharp.torch;

// One rank of a test run: rank-program TASK [TIMEOUT-SECONDS [LARGEST-MESSAGE-BYTES]]; rank 1 is the one that
// misbehaves. Or their launcher: rank-program launch cpu|cuda RANKS GRACE-SECONDS PROGRAM ARGUMENTS...
if (args[0] == "launch")
{
    return Launch(args);
}

NativeRuntime.Load();
switch (args[0])
{
    case "rendezvous": // as a launcher's variables say
        return RankRun.Run(
            Rendezvous.FromEnvironment().Connect(CPU),
            ranks =>
            {
                ranks.Barrier();
                Console.WriteLine(
                    $"rank {ranks.Rank} of {ranks.WorldSize} met the others; process {Environment.ProcessId}"
                );
                Thread.Sleep(args.Length > 1 ? Timeout.Infinite : 0);
                return 0;
            },
            error => throw error
        );
    case "nccl": // the cases and the measurements, on GPUs
        return RankRun.Run(
            Rendezvous.FromEnvironment().Connect(new Device(DeviceType.CUDA, 0), backend: BackendKind.Nccl),
            ranks => Math.Max(ranks.WorldSize > 1 ? 0 : RunCases(ranks), NcclSelfTest.Run(ranks, Console.Out) ? 0 : 1),
            error => throw error
        );
}

var options = new CollectivesOptions { Timeout = TimeSpan.FromSeconds(args.Length > 1 ? double.Parse(args[1]) : 60) };
var ranks = Mpi.Connect(options, args.Length > 2 ? long.Parse(args[2]) : 1 << 30);
var label = new CallLabel(1204, 17);
Func<ICollectives, int> body = args[0] switch
{
    "cases" => RunCases,
    "bandwidth" => Bandwidth,
    "large" => BeyondTwoGigabytes,
    "exit" => Misbehave(() => Environment.Exit(7)),
    "kill" => Misbehave(() => Process.GetCurrentProcess().Kill()),
    "throw" => Misbehave(() => throw new InvalidDataException("train.jsonl, line 3: no such role")),
    "hang" => Misbehave(() => Thread.Sleep(Timeout.Infinite)),
    "another-path" => Misbehave(() => ranks.AllReduceSum(zeros(6), new CallLabel(1204, 18)).Wait()),
    "end-early" => Misbehave(() => { }),
    "fail-at" => each =>
    {
        RankFaultProgram.Run(each, each.Rank == 1 ? int.Parse(args[3]) : null, bool.Parse(args[4]));
        return 0;
    }
    ,
    "null-reference" => _ => CatchNullReference(),
    var unknown => throw new ArgumentException($"There is no task {unknown}."),
};
return RankRun.Run(
    ranks,
    body,
    error =>
    {
        Console.Error.WriteLine($"Rank {ranks.Rank} failed: {error.Message}");
        Console.Error.WriteLine(ranks.Activity.Describe());
        return error is InvalidDataException ? 2 : 1;
    }
);

Func<ICollectives, int> Misbehave(Action act) =>
    ranks =>
    {
        ranks.Barrier(label);
        if (ranks.Rank == 1)
        {
            act();
            return 0;
        }

        ranks
            .AllGather(zeros(2, 3, dtype: ScalarType.BFloat16), zeros(6 * ranks.WorldSize, ScalarType.BFloat16), label)
            .Wait();
        return 0;
    };

static int Launch(string[] args)
{
    Console.WriteLine($"launcher {Environment.ProcessId}");
    try
    {
        var type = args[1] == "cuda" ? DeviceType.CUDA : DeviceType.CPU;
        return new LocalLauncher(int.Parse(args[2])) { Grace = TimeSpan.FromSeconds(double.Parse(args[3])) }.Run(
            args[4..],
            type
        );
    }
    catch (InvalidDataException error)
    {
        Console.Error.WriteLine(error.Message);
        return 2;
    }
}

static int RunCases(ICollectives ranks)
{
    var failed = 0;
    foreach (var (name, run) in CollectivesCases.All)
    {
        using var scope = NewDisposeScope();
        var problem = "";
        try
        {
            run(ranks);
        }
        catch (Exception error)
        {
            problem = $"rank {ranks.Rank}: {error}";
        }

        var problems = ranks.GatherStrings([problem]).SelectMany(of => of).Where(text => text.Length > 0).ToArray();
        failed += problems.Length;
        if (ranks.Rank == 0)
        {
            Console.WriteLine($"{(problems.Length == 0 ? "passed" : "FAILED")} {name} {string.Join("\n", problems)}");
        }
    }

    return failed == 0 ? 0 : 1;
}

// The library must leave the runtime its handler of memory faults, from which it makes this exception.
static int CatchNullReference()
{
    string? nothing = Environment.GetEnvironmentVariable("GLMTUNE_NO_SUCH_VARIABLE");
    try
    {
        return nothing!.Length;
    }
    catch (NullReferenceException)
    {
        return 0;
    }
}

// Offsets beyond 31 bits; needs 7 GB a rank, so it is run by hand.
static int BeyondTwoGigabytes(ICollectives ranks)
{
    const long Count = (1L << 31) + 12_345;
    using var shard = TensorCreation.Full([Count], ranks.Rank + 1, ScalarType.Byte);
    using var whole = zeros(ranks.WorldSize * Count, ScalarType.Byte);
    ranks.AllGather(shard, whole).Wait();
    for (var rank = 0; rank < ranks.WorldSize; rank++)
    {
        AssertFilled(whole.narrow(0, rank * Count, Count), rank + 1);
    }

    ranks.Broadcast(shard, ranks.WorldSize - 1).Wait();
    AssertFilled(shard, ranks.WorldSize);
    return 0;

    static void AssertFilled(Tensor bytes, int value)
    {
        using var scope = NewDisposeScope();
        var (least, most) = (bytes.min().item<byte>(), bytes.max().item<byte>());
        Assert.True(least == value && most == value, $"{least} to {most} instead of {value}");
    }
}

static int Bandwidth(ICollectives ranks)
{
    foreach (var bytes in (long[])[4 << 10, 64 << 10, 4 << 20, 64 << 20, 256 << 20])
    {
        using var scope = NewDisposeScope();
        var count = bytes / 4;
        var buffer = ones(count);
        var shard = ones(count / ranks.WorldSize);
        Time("all-reduce", () => ranks.AllReduceSum(buffer));
        Time("all-gather", () => ranks.AllGather(shard, buffer));
        Time("reduce-scatter", () => ranks.ReduceScatterSum(buffer, shard));
        Time(
            "all-gather, waited for later",
            () =>
            {
                var pending = ranks.AllGather(shard, buffer);
                Thread.Sleep(bytes > 16 << 20 ? 300 : 20);
                return pending;
            }
        );

        void Time(string what, Func<Pending> call)
        {
            call().Wait();
            var before = ranks.Traffic.Total;
            var clock = Stopwatch.StartNew();
            var rounds = bytes > 16 << 20 ? 3 : 20;
            for (var i = 0; i < rounds; i++)
            {
                call().Wait();
            }

            var sent = ranks.Traffic.Total - before;
            if (ranks.Rank == 0)
            {
                Console.WriteLine(
                    $"{what} of {bytes:N0} bytes: {clock.Elapsed.TotalMilliseconds / rounds:0.000} ms, busy "
                        + $"{sent.Busy.TotalMilliseconds / rounds:0.000} ms, "
                        + $"{sent.BytesSent / sent.Busy.TotalSeconds / 1e9:0.00} GB/s sent, exposed "
                        + $"{sent.Exposed.TotalMilliseconds / rounds:0.000} ms"
                );
            }
        }
    }

    return 0;
}
