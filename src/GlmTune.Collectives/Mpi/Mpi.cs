using GlmTune.Kernels.Native;
using static TorchSharp.torch;

namespace GlmTune.Collectives;

/// <summary>Ranks as processes on one or more hosts, started by <c>mpirun</c> or <c>srun</c>, with tensors on the
/// CPU.</summary>
/// <remarks>MPI only moves bytes. Sums are computed here, in rank order and with 16-bit floats added in float32, so
/// that results equal those of thread ranks bit for bit, whatever the library and the network. A call that does not
/// finish in time, or ranks that make different calls, end all processes with <see cref="LostRankException.ExitCode"/>
/// after a message on standard error.</remarks>
internal sealed class Mpi : Backend
{
    /// <summary>Below this size in bytes, a sum is computed from everyone's whole tensor, in one exchange instead of
    /// two.</summary>
    private const long SmallSum = 1 << 15;

    /// <summary>Bytes of the ranks' summands received at a time.</summary>
    private const long SumBytes = 1 << 25;

    private readonly MpiThread thread;
    private readonly Dictionary<ScalarType, Tensor> received = [];

    /// <summary>Maximum bytes in one message between two ranks; counts in MPI 3 have 31 bits.</summary>
    private readonly long largestMessage;

    private Mpi(MpiThread thread, CollectivesOptions options, long largestMessage)
        : base(thread.Rank, thread.Size, CPU, options)
    {
        this.thread = thread;
        this.largestMessage = largestMessage;
    }

    /// <summary>Initializes MPI, once per process. The ranks are those of the launcher, or a single one without a
    /// launcher.</summary>
    /// <param name="options">Options; null: the defaults.</param>
    /// <exception cref="DllNotFoundException">No MPI library was found.</exception>
    /// <exception cref="InvalidOperationException">MPI has already been initialized in this process.</exception>
    public static Mpi Connect(CollectivesOptions? options = null) =>
        Connect(options ?? new CollectivesOptions(), largestMessage: 1 << 30);

    internal static Mpi Connect(CollectivesOptions options, long largestMessage) =>
        new(new MpiThread(options), options, largestMessage);

    /// <summary>Ends the processes of all ranks; does not return.</summary>
    public override void Abort(Exception cause, int exitCode) => thread.Abort(exitCode);

    private protected override void Close()
    {
        Meet(Collective.Close, default);
        thread.Finish();
        foreach (var tensor in received.Values)
        {
            tensor.Dispose();
        }
    }

    private protected override Pending Start(CollectiveOperation operation)
    {
        var pending = new MpiPending(this, operation);
        thread.Enqueue(pending);
        return pending;
    }

    /// <summary>Carries out one call, on the MPI thread.</summary>
    internal void Perform(MpiPending work, MpiThread onThread)
    {
        using var noGradient = no_grad();
        using var scope = NewDisposeScope();
        var exchange = new MpiExchange(onThread, work, largestMessage);
        if (Options.CompareCalls && WorldSize > 1)
        {
            Compare(exchange, work.Operation.Call);
        }

        var operation = work.Operation;
        switch (operation.Call.Collective)
        {
            case Collective.AllGather or Collective.Barrier or Collective.Close:
                exchange.AllGather(
                    operation.InputAddress,
                    operation.OutputAddress,
                    operation.Count * operation.ElementSize
                );
                break;
            case Collective.ReduceScatterSum:
                SumSlices(exchange, operation.Input, operation.Output);
                break;
            case Collective.AllReduceSum:
                SumAll(exchange, operation.Output);
                break;
            case Collective.Broadcast:
                exchange.Broadcast(
                    operation.OutputAddress,
                    operation.Count * operation.ElementSize,
                    operation.Call.Root!.Value
                );
                break;
            case Collective.AllToAll:
                var group = operation.Call.Group ?? WorldSize;
                var bytes = operation.Count / group * operation.ElementSize;
                exchange.AllToAll(operation.InputAddress, bytes, operation.OutputAddress, bytes, group);
                break;
            case Collective.RingShift:
                exchange.SendAndReceive(
                    operation.InputAddress,
                    (Rank + 1) % WorldSize,
                    operation.OutputAddress,
                    (Rank + WorldSize - 1) % WorldSize,
                    operation.Count * operation.ElementSize
                );
                break;
            default:
                throw new NotSupportedException($"{operation.Call.Collective} is not supported by MPI ranks.");
        }
    }

    private unsafe void Compare(MpiExchange exchange, CollectiveCall call)
    {
        const int Size = CallComparison.Size;
        var mine = CallComparison.ToBytes(call);
        var all = new byte[WorldSize * Size];
        fixed (
            byte* send = mine,
                receive = all
        )
        {
            exchange.AllGather((nint)send, (nint)receive, Size);
        }

        for (var rank = 0; rank < WorldSize; rank++)
        {
            var theirs = all.AsSpan(rank * Size, Size);
            if (!theirs.SequenceEqual(mine))
            {
                throw new LostRankException(
                    CallComparison.Message(Rank, WorldSize, call, rank, CallComparison.ToText(theirs))
                );
            }
        }
    }

    // Each rank receives everyone's piece of its own slice, and adds the pieces.
    private void SumSlices(MpiExchange exchange, Tensor full, Tensor shard)
    {
        var (count, size) = (shard.numel(), shard.element_size());
        var most = Math.Max(1, SumBytes / size / WorldSize);
        for (long start = 0; start < count; start += most)
        {
            var length = Math.Min(most, count - start);
            var pieces = Received(shard.dtype, length * WorldSize);
            exchange.AllToAll(
                TensorAddress.Of(full) + (nint)(start * size),
                count * size,
                TensorAddress.Of(pieces),
                length * size
            );
            RankOrderSum.Write(Cut(pieces, length), shard.narrow(0, start, length));
        }
    }

    private void SumAll(MpiExchange exchange, Tensor buffer)
    {
        var count = buffer.numel();
        var slice = count * buffer.element_size() > SmallSum ? count / WorldSize : 0;
        if (slice > 0)
        {
            var even = buffer.narrow(0, 0, slice * WorldSize);
            var mine = even.narrow(0, Rank * slice, slice);
            SumSlices(exchange, even, mine);
            exchange.AllGather(TensorAddress.Of(mine), TensorAddress.Of(even), slice * buffer.element_size());
        }

        var rest = count - (slice * WorldSize);
        if (rest > 0)
        {
            var mine = buffer.narrow(0, slice * WorldSize, rest);
            var pieces = Received(buffer.dtype, rest * WorldSize);
            exchange.AllGather(TensorAddress.Of(mine), TensorAddress.Of(pieces), rest * buffer.element_size());
            RankOrderSum.Write(Cut(pieces, rest), mine);
        }
    }

    private Tensor[] Cut(Tensor pieces, long length) =>
        [.. Enumerable.Range(0, WorldSize).Select(rank => pieces.narrow(0, rank * length, length))];

    // Kept between calls: allocating memory would cost more than using it.
    private Tensor Received(ScalarType type, long count)
    {
        if (!received.TryGetValue(type, out var tensor) || tensor.numel() < count)
        {
            tensor?.Dispose();
            received[type] = tensor = empty(count, type).DetachFromDisposeScope();
        }

        return tensor.narrow(0, 0, count);
    }
}
