using System.Diagnostics;
using static TorchSharp.torch;

namespace GlmTune.Collectives;

/// <summary>Ranks as threads of this process, which read each other's tensors directly.</summary>
/// <remarks>For tests, and for several GPUs in one process. Sums are added in rank order, so results have the same bits
/// in each run. A rank that throws, ends early or makes a different call ends the calls of all others at
/// once.</remarks>
internal sealed class InProcess : Backend
{
    private readonly CallMatcher matcher;

    private InProcess(CallMatcher matcher, int rank, Device device, CollectivesOptions options)
        : base(rank, matcher.WorldSize, device, options)
    {
        this.matcher = matcher;
    }

    /// <summary>Runs <paramref name="body"/> once per rank, each on its own thread, and returns when all have
    /// ended.</summary>
    /// <param name="worldSize">Number of ranks.</param>
    /// <param name="body">The work of a rank, given its collectives, which it need not dispose.</param>
    /// <param name="options">Options; null: the defaults.</param>
    /// <param name="devices">Device of each rank; null: the CPU.</param>
    /// <exception cref="LostRankException">A call did not finish in time, or ranks made different calls.</exception>
    /// <remarks>The exception of the first rank that fails is rethrown unchanged.</remarks>
    public static void Run(
        int worldSize,
        Action<ICollectives> body,
        CollectivesOptions? options = null,
        IReadOnlyList<Device>? devices = null
    ) =>
        Run<object?>(
            worldSize,
            ranks =>
            {
                body(ranks);
                return null;
            },
            options,
            devices
        );

    /// <summary>Like the other overload; returns the results of all ranks, in rank order.</summary>
    public static T[] Run<T>(
        int worldSize,
        Func<ICollectives, T> body,
        CollectivesOptions? options = null,
        IReadOnlyList<Device>? devices = null
    )
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(worldSize, 1);
        if (devices is not null && devices.Count != worldSize)
        {
            throw new ArgumentException(
                $"{devices.Count} devices for {worldSize} ranks; each rank needs one.",
                nameof(devices)
            );
        }

        var matcher = new CallMatcher(worldSize, (options ??= new CollectivesOptions()).Timeout);
        var results = new T[worldSize];
        var threads = Enumerable
            .Range(0, worldSize)
            .Select(rank => new Thread(() =>
            {
                using var ranks = new InProcess(matcher, rank, devices?[rank] ?? CPU, options);
                try
                {
                    results[rank] = body(ranks);
                }
                catch (Exception error)
                {
                    matcher.Fail(rank, error);
                }
            })
            {
                IsBackground = true,
                Name = $"rank {rank}",
            })
            .ToArray();
        Array.ForEach(threads, thread => thread.Start());
        matcher.WaitForEnd(threads);
        matcher.ThrowFailure();
        return results;
    }

    /// <summary>Ends the current and later calls of the other ranks with a <see cref="LostRankException"/> that quotes
    /// <paramref name="cause"/>.</summary>
    public override void Abort(Exception cause, int exitCode) => matcher.Fail(Rank, cause);

    private protected override void Close() => matcher.Leave(Rank);

    private protected override Pending Start(CollectiveOperation operation) =>
        new PendingCall(this, operation, matcher.Join(Rank, operation));

    private sealed class PendingCall(InProcess owner, CollectiveOperation operation, MatchedCall matched) : Pending
    {
        private bool waited;

        public override void Wait()
        {
            if (waited)
            {
                return;
            }

            waited = true;
            var from = Stopwatch.GetTimestamp();
            try
            {
                owner.matcher.Await(owner.Rank, matched, operation);
            }
            finally
            {
                operation.Release();
            }

            owner.Traffic.Add(
                operation.Call,
                owner.WorldSize,
                operation.ElementSize,
                Stopwatch.GetElapsedTime(operation.Started),
                Stopwatch.GetElapsedTime(from)
            );
        }
    }
}
