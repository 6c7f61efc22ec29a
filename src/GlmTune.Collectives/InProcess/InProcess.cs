using System.Diagnostics;
using static TorchSharp.torch;

namespace GlmTune.Collectives;

/// <summary>Ranks that are threads of this process and read each other's tensors directly.</summary>
/// <remarks>
/// For tests, and for several GPUs in one process. Sums are added in the order of the ranks, so results have the same
/// bits in each run. A rank that throws, ends early or calls something else than the others ends the calls of all
/// others at once. </remarks>
public sealed class InProcess : Backend
{
    private readonly Exchange exchange;

    private InProcess(Exchange exchange, int rank, Device device, CollectivesOptions options)
        : base(rank, exchange.WorldSize, device, options)
    {
        this.exchange = exchange;
    }

    /// <summary>Runs <paramref name="body"/> once a rank, each on its own thread, and returns when all have
    /// ended.</summary>
    /// <param name="worldSize">How many ranks.</param>
    /// <param name="body">What each rank does; it is given the rank's collectives, which it need not dispose.</param>
    /// <param name="options">Null for the defaults.</param>
    /// <param name="devices">The device of each rank; null for the CPU.</param>
    /// <exception cref="LostRankException">A call was not finished in time, or ranks called different
    /// things.</exception>
    /// <remarks>What the first failing rank threw is thrown again, as it was.</remarks>
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

    /// <summary>Runs as the other overload does, and returns what each rank returned, in their order.</summary>
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

        var exchange = new Exchange(worldSize, (options ??= new CollectivesOptions()).Timeout);
        var results = new T[worldSize];
        var threads = Enumerable
            .Range(0, worldSize)
            .Select(rank => new Thread(() =>
            {
                using var ranks = new InProcess(exchange, rank, devices?[rank] ?? CPU, options);
                try
                {
                    results[rank] = body(ranks);
                }
                catch (Exception error)
                {
                    exchange.Fail(rank, error);
                }
            })
            {
                IsBackground = true,
                Name = $"rank {rank}",
            })
            .ToArray();
        Array.ForEach(threads, thread => thread.Start());
        exchange.WaitForEnd(threads);
        exchange.ThrowFailure();
        return results;
    }

    /// <summary>Ends the other ranks' calls, now and later, with a <see cref="LostRankException"/> that quotes
    /// <paramref name="cause"/>.</summary>
    public override void Abort(Exception cause, int exitCode) => exchange.Fail(Rank, cause);

    private protected override void Close() => exchange.Leave(Rank);

    private protected override Pending Start(Transfer transfer) =>
        new PendingExchange(this, transfer, exchange.Join(Rank, transfer));

    private sealed class PendingExchange(InProcess owner, Transfer transfer, Meeting meeting) : Pending
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
                owner.exchange.Await(owner.Rank, meeting, transfer);
            }
            finally
            {
                transfer.Release();
            }

            owner.Traffic.Add(
                transfer.Call,
                owner.WorldSize,
                transfer.ElementSize,
                Stopwatch.GetElapsedTime(transfer.Started),
                Stopwatch.GetElapsedTime(from)
            );
        }
    }
}
