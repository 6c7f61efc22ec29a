using GlmTune.Collectives.Native;
using GlmTune.Kernels.Cuda;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Collectives;

/// <summary>Ranks as processes on one or more hosts, each with its own GPU.</summary>
/// <remarks>
/// Calls run on a stream of their own beside the computation: each begins when what was enqueued before it on the
/// current stream is done, and <see cref="Pending.Wait"/> makes the current stream wait for its end. A call that is not
/// finished in time, and an error that NCCL reports, end the process with <see cref="LostRankException.ExitCode"/>
/// after a message on the error stream; the launcher then ends the other ranks, and where it does not, they end in time
/// themselves. Source: NVIDIA Collective Communications Library, user guide. </remarks>
internal sealed class Nccl : Backend
{
    private readonly Mpi? launchedBy;
    private readonly nint stream;
    private readonly nint communicator;
    private readonly NcclWatchdog watchdog;
    private readonly Lock gate = new();

    private Nccl(
        int rank,
        int worldSize,
        Device device,
        CollectivesOptions options,
        Mpi? launchedBy,
        string? rootAddress
    )
        : base(rank, worldSize, device.index >= 0 ? device : new Device(DeviceType.CUDA, 0), options)
    {
        this.launchedBy = launchedBy;
        RootAddressNote = rootAddress is null ? "" : $" at {rootAddress}";
        zeros(1, device: Device).Dispose(); // libtorch creates the device's context
        CudaContext.Ensure(Device); // NCCL and events need it
        stream = CudaStream.CreateUrgent(); // so that messages go out while computation fills the GPU
        watchdog = new NcclWatchdog(this, options.Timeout);
        try
        {
            if (rootAddress is not null)
            {
                HostProcess.SetVariable(NcclRootAddress.Variable, rootAddress);
            }

            var id = UniqueId();
            NcclNative.Check(NcclNative.InitRank(out communicator, worldSize, id, rank), "ncclCommInitRank");
            watchdog.Connected(communicator);
            Activity.UnderWay = () => watchdog.Oldest()?.Call;
        }
        catch
        {
            watchdog.Dispose();
            throw;
        }
    }

    /// <summary>Where the ranks meet, for messages; empty if MPI connected them.</summary>
    internal string RootAddressNote { get; }

    internal CudaEvents Events { get; } = new();

    /// <summary>Connects ranks through NCCL's own bootstrap.</summary>
    /// <param name="rank">Rank of this process, from 0.</param>
    /// <param name="worldSize">Number of ranks.</param>
    /// <param name="device">This rank's GPU.</param>
    /// <param name="rootAddress"><c>host:port</c> at which rank 0 listens, the same on all ranks; null for a world of
    /// one.</param>
    /// <param name="options">Options; null: the defaults.</param>
    /// <exception cref="DllNotFoundException">NCCL is not installed.</exception>
    /// <exception cref="IOException">NCCL could not connect the ranks.</exception>
    public static Nccl Connect(
        int rank,
        int worldSize,
        Device device,
        string? rootAddress = null,
        CollectivesOptions? options = null
    ) =>
        rootAddress is null && worldSize > 1
            ? throw new ArgumentException($"{worldSize} ranks need a rendezvous.", nameof(rootAddress))
            : new Nccl(
                rank,
                worldSize,
                device,
                options ?? new CollectivesOptions(),
                null,
                worldSize == 1 ? null : rootAddress
            );

    /// <summary>Connects ranks that MPI started.</summary>
    /// <param name="launchedBy">Tells each rank where rank 0 is; disposed together with the returned object.</param>
    /// <param name="device">This rank's GPU.</param>
    /// <param name="options">Options; null: the defaults.</param>
    /// <exception cref="DllNotFoundException">NCCL is not installed.</exception>
    /// <exception cref="IOException">NCCL could not connect the ranks.</exception>
    public static Nccl Connect(Mpi launchedBy, Device device, CollectivesOptions? options = null) =>
        new(launchedBy.Rank, launchedBy.WorldSize, device, options ?? new CollectivesOptions(), launchedBy, null);

    /// <summary>Ends this process, and through the launcher those of all ranks; does not return.</summary>
    public override void Abort(Exception cause, int exitCode)
    {
        launchedBy?.Abort(cause, exitCode);
        HostProcess.ExitNow(exitCode);
    }

    /// <summary>Ends the run on all ranks with a message; does not return.</summary>
    internal void End(string message)
    {
        Console.Error.WriteLine(message);
        Abort(new LostRankException(message), LostRankException.ExitCode);
    }

    /// <summary>libtorch's current stream on this rank's GPU; makes its context current.</summary>
    internal nint UseComputingStream()
    {
        CudaContext.Ensure(Device);
        return CudaStream.Current(Device.index);
    }

    private protected override void Close()
    {
        Meet(Collective.Close, default);
        watchdog.Dispose();
        CudaContext.Ensure(Device);
        NcclNative.Check(NcclNative.Destroy(communicator), "ncclCommDestroy");
        Events.Destroy();
        CudaStream.Destroy(stream);
        launchedBy?.Dispose();
    }

    private protected override Pending Start(CollectiveOperation operation)
    {
        lock (gate)
        {
            var computing = UseComputingStream();
            var (ready, begin, end) = (Events.Take(), Events.Take(), Events.Take());
            CudaEvent.Record(ready, computing);
            CudaStream.Await(stream, ready);
            Events.Give(ready);
            CudaEvent.Record(begin, stream);
            Enqueue(operation);
            CudaEvent.Record(end, stream);
            var pending = new NcclPending(this, operation, begin, end);
            watchdog.Add(pending);
            return pending;
        }
    }

    private NcclUniqueId UniqueId()
    {
        var id = default(NcclUniqueId);
        if (launchedBy is null || Rank == 0)
        {
            NcclNative.Check(NcclNative.GetUniqueId(out id), "ncclGetUniqueId");
        }

        if (launchedBy is not null)
        {
            using var scope = NewDisposeScope();
            var shared = tensor(NcclUniqueId.AsBytes(ref id).ToArray(), ScalarType.Byte);
            launchedBy.Broadcast(shared, root: 0).Wait();
            shared.bytes.CopyTo(NcclUniqueId.AsBytes(ref id));
        }

        return id;
    }

    private void Enqueue(CollectiveOperation operation)
    {
        var call = operation.Call;
        var bytes = (nuint)(operation.Count * operation.ElementSize);
        var (input, output) = (operation.InputAddress, operation.OutputAddress);
        NcclNative.Check(
            call.Collective switch
            {
                Collective.AllGather or Collective.Barrier or Collective.Close => NcclNative.AllGather(
                    input,
                    output,
                    bytes,
                    NcclNative.Bytes,
                    communicator,
                    stream
                ),
                Collective.ReduceScatterSum => NcclNative.ReduceScatter(
                    input,
                    output,
                    (nuint)(operation.Count / WorldSize),
                    NcclNative.TypeOf(call.Type),
                    NcclNative.Sum,
                    communicator,
                    stream
                ),
                Collective.AllReduceSum => NcclNative.AllReduce(
                    input,
                    output,
                    (nuint)operation.Count,
                    NcclNative.TypeOf(call.Type),
                    NcclNative.Sum,
                    communicator,
                    stream
                ),
                Collective.Broadcast => NcclNative.Broadcast(
                    input,
                    output,
                    bytes,
                    NcclNative.Bytes,
                    call.Root!.Value,
                    communicator,
                    stream
                ),
                Collective.AllToAll => ExchangeSlices(input, output, bytes, call.Group ?? WorldSize),
                Collective.RingShift => Grouped(() =>
                {
                    Send(input, bytes, (Rank + 1) % WorldSize);
                    Receive(output, bytes, (Rank + WorldSize - 1) % WorldSize);
                }),
                _ => throw new NotSupportedException($"{call.Collective} is not supported by NCCL ranks."),
            },
            call.Operation,
            communicator
        );
    }

    private int ExchangeSlices(nint send, nint receive, nuint bytes, int group) =>
        Grouped(() =>
        {
            var (first, slice) = (Rank / group * group, bytes / (nuint)group);
            for (var i = 0; i < group; i++)
            {
                Send(send + (i * (nint)slice), slice, first + i);
                Receive(receive + (i * (nint)slice), slice, first + i);
            }
        });

    private static int Grouped(Action enqueue)
    {
        NcclNative.Check(NcclNative.GroupStart(), "ncclGroupStart");
        enqueue();
        return NcclNative.GroupEnd();
    }

    private void Send(nint buffer, nuint bytes, int to) =>
        NcclNative.Check(
            NcclNative.Send(buffer, bytes, NcclNative.Bytes, to, communicator, stream),
            "ncclSend",
            communicator
        );

    private void Receive(nint buffer, nuint bytes, int from) =>
        NcclNative.Check(
            NcclNative.Receive(buffer, bytes, NcclNative.Bytes, from, communicator, stream),
            "ncclRecv",
            communicator
        );
}
