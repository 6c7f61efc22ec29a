using GlmTune.Kernels.Native;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Collectives;

/// <summary>Common base of all backends: checks and describes each call, then carries it out in
/// <see cref="Start"/>.</summary>
internal abstract class Backend : ICollectives
{
    private bool disposed;

    private protected Backend(int rank, int worldSize, Device device, CollectivesOptions options)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(worldSize, 1);
        ArgumentOutOfRangeException.ThrowIfNegative(rank);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(rank, worldSize);
        (Rank, WorldSize, Device, Options) = (rank, worldSize, device, options);
        Activity = new RankActivity(rank, worldSize);
    }

    /// <inheritdoc/>
    public int Rank { get; }

    /// <inheritdoc/>
    public int WorldSize { get; }

    /// <inheritdoc/>
    public Device Device { get; }

    /// <inheritdoc/>
    public Traffic Traffic { get; } = new();

    /// <inheritdoc/>
    public RankActivity Activity { get; }

    private protected CollectivesOptions Options { get; }

    /// <inheritdoc/>
    public Pending AllGather(Tensor shard, Tensor full, CallLabel label = default)
    {
        var call = Describe(Collective.AllGather, shard, label);
        RequireUsable(call, shard, nameof(shard));
        RequireUsable(call, full, nameof(full));
        RequireWhole(call, full, shard);
        RequireApartOrInPlace(call, shard, full);
        return Begin(new CollectiveOperation(call, shard, full));
    }

    /// <inheritdoc/>
    public Pending ReduceScatterSum(Tensor full, Tensor shard, CallLabel label = default)
    {
        var call = Describe(Collective.ReduceScatterSum, full, label);
        RequireUsable(call, full, nameof(full));
        RequireUsable(call, shard, nameof(shard));
        RequireWhole(call, full, shard);
        RequireApartOrInPlace(call, shard, full);
        RequireSummable(call);
        return Begin(new CollectiveOperation(call, full, shard));
    }

    /// <inheritdoc/>
    public Pending AllReduceSum(Tensor buffer, CallLabel label = default)
    {
        var call = Describe(Collective.AllReduceSum, buffer, label);
        RequireUsable(call, buffer, nameof(buffer));
        RequireSummable(call);
        return Begin(new CollectiveOperation(call, buffer, buffer));
    }

    /// <inheritdoc/>
    public Pending Broadcast(Tensor buffer, int root, CallLabel label = default)
    {
        var call = Describe(Collective.Broadcast, buffer, label) with { Root = root };
        if (root < 0 || root >= WorldSize)
        {
            throw new ArgumentOutOfRangeException(
                nameof(root),
                root,
                $"{call}: rank out of range; expected 0 to {WorldSize - 1}."
            );
        }

        RequireUsable(call, buffer, nameof(buffer));
        return Begin(new CollectiveOperation(call, buffer, buffer));
    }

    /// <inheritdoc/>
    public Pending AllToAll(Tensor send, Tensor receive, CallLabel label = default, int? group = null)
    {
        var call = Describe(Collective.AllToAll, send, label) with { Group = group == WorldSize ? null : group };
        if (group is { } size && (size < 1 || WorldSize % size != 0))
        {
            throw new ArgumentException($"{call}: {WorldSize} ranks cannot be split into such groups.", nameof(group));
        }

        RequireExchange(call, send, receive);
        if (send.numel() % (group ?? WorldSize) != 0)
        {
            throw new ArgumentException(
                $"{call}: {send.numel()} elements cannot be split into {group ?? WorldSize} equal slices.",
                nameof(send)
            );
        }

        return Begin(new CollectiveOperation(call, send, receive));
    }

    /// <inheritdoc/>
    public Pending RingShift(Tensor send, Tensor receive, CallLabel label = default)
    {
        var call = Describe(Collective.RingShift, send, label);
        RequireExchange(call, send, receive);
        return Begin(new CollectiveOperation(call, send, receive));
    }

    /// <inheritdoc/>
    public void Barrier(CallLabel label = default) => Meet(Collective.Barrier, label);

    /// <inheritdoc/>
    public abstract void Abort(Exception cause, int exitCode);

    /// <inheritdoc/>
    public void Dispose()
    {
        if (!disposed)
        {
            disposed = true;
            Close();
            GC.SuppressFinalize(this);
        }
    }

    /// <summary>Waits for the other ranks, then releases all resources; called once.</summary>
    private protected abstract void Close();

    /// <summary>Starts a checked call; the backend releases the operation when it has finished.</summary>
    /// <remarks>Barriers, and the end of the ranks, arrive as an all-gather of one byte per rank.</remarks>
    private protected abstract Pending Start(CollectiveOperation operation);

    private Pending Begin(CollectiveOperation operation)
    {
        var call = operation.Call;
        var pending = Start(operation);
        return ReferenceEquals(pending, Pending.Finished) ? pending : new RecordedPending(pending, call, Activity);
    }

    private protected void Meet(Collective collective, CallLabel label)
    {
        using var scope = NewDisposeScope();
        using var noGradient = no_grad();
        var mine = zeros(1, ScalarType.Byte, Device);
        var all = zeros(WorldSize, ScalarType.Byte, Device);
        Begin(new CollectiveOperation(Describe(collective, mine, label), mine, all)).Wait();
        all.cpu(); // on a GPU, only this makes the host wait
    }

    private static CollectiveCall Describe(Collective collective, Tensor given, CallLabel label) =>
        new(collective, given.dtype, given.shape, null, label);

    private void RequireUsable(CollectiveCall call, Tensor tensor, string name)
    {
        if (tensor.is_sparse || !tensor.is_contiguous())
        {
            throw new ArgumentException($"{call}: the tensor must be contiguous; pass its contiguous().", name);
        }

        if (
            tensor.device_type != Device.type
            || (Device.type == DeviceType.CUDA && tensor.device_index != Device.index)
        )
        {
            throw new ArgumentException(
                $"{call}: the tensor is on {tensor.device}, but these ranks communicate on {Device}.",
                name
            );
        }

        if (tensor.dtype != call.Type)
        {
            throw new ArgumentException(
                $"{call}: one tensor has type {tensor.dtype}, the other {call.Type}; both must have the same "
                    + "type.",
                name
            );
        }
    }

    private void RequireWhole(CollectiveCall call, Tensor full, Tensor shard)
    {
        if (full.numel() != WorldSize * shard.numel())
        {
            throw new ArgumentException(
                $"{call}: the full tensor has {full.numel()} elements and the shard {shard.numel()}; with "
                    + $"{WorldSize} ranks the full tensor must have {WorldSize * shard.numel()}.",
                nameof(full)
            );
        }
    }

    private void RequireApartOrInPlace(CollectiveCall call, Tensor shard, Tensor full)
    {
        var place = TensorAddress.Of(full) + (nint)(Rank * TensorAddress.BytesOf(shard));
        if (TensorAddress.Overlap(shard, full) && TensorAddress.Of(shard) != place)
        {
            throw new ArgumentException(
                $"{call}: the shard lies within the full tensor, but not at slice {Rank}, which belongs to "
                    + "this rank.",
                nameof(shard)
            );
        }
    }

    private static void RequireSummable(CollectiveCall call)
    {
        if (!RankOrderSum.Supports(call.Type))
        {
            throw new ArgumentException($"{call}: sums support float16, bfloat16, float32, float64, int32 and int64.");
        }
    }

    private void RequireExchange(CollectiveCall call, Tensor send, Tensor receive)
    {
        RequireUsable(call, send, nameof(send));
        RequireUsable(call, receive, nameof(receive));
        if (send.numel() != receive.numel())
        {
            throw new ArgumentException(
                $"{call}: {send.numel()} elements are sent and {receive.numel()} received; both must be equal.",
                nameof(receive)
            );
        }

        if (TensorAddress.Overlap(send, receive))
        {
            throw new ArgumentException($"{call}: the send and receive buffers share memory.", nameof(receive));
        }
    }
}
