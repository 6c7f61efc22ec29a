using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Memory;
using GlmTune.Kernels.Native;
using GlmTune.Training.Sharding;
using static TorchSharp.torch;

namespace GlmTune.Training.Optimization;

/// <summary>AdamW on the device for state in host memory: piece by piece, state is copied up, updated and copied back,
/// and the copies of neighbouring pieces run at the same time.</summary>
/// <remarks>State of 4 bytes a parameter (two bfloat16 moments) takes both ways of the bus 4 bytes each, where an
/// update on the host would move a gradient and a weight, and read and write the state in slower memory. In full
/// precision (12 bytes a parameter each way) the host is faster: see <see cref="HostAdamW"/>. Source: Rajbhandari et
/// al., ZeRO-Infinity, arXiv:2104.07857, section 5.2.</remarks>
/// <param name="kernels">Layer functions of the device.</param>
/// <param name="device">Device of the gradients.</param>
/// <param name="pieceElements">Number of elements updated at a time, rounded down to blocks of codes.</param>
internal sealed class StreamedAdamW(LayerKernels kernels, Device device, long pieceElements = StreamedAdamW.UsualPiece)
    : IDisposable
{
    private const long UsualPiece = 1 << 22;

    // One is copied up and one down while one is updated.
    private const int Slots = 3;
    private readonly HostCopies up = new(device);
    private readonly HostCopies down = new(device);
    private readonly Slot[] slots = [.. Enumerable.Range(0, Slots).Select(_ => new Slot())];
    private readonly Queue<Piece> coming = new();
    private int turn;

    /// <summary>Most bytes of device memory that pieces of the usual size take, with master weights and float32
    /// moments.</summary>
    public const long BufferBytes = (long)Slots * UsualPiece * 14;

    /// <summary>Number of elements in a piece.</summary>
    public long PieceElements { get; } =
        Math.Clamp(pieceElements, BlockCodes.BlockSize, 1 << 24) / BlockCodes.BlockSize * BlockCodes.BlockSize;

    /// <summary>Starts the update of a shard; what it has in device memory is updated in place.</summary>
    /// <param name="shard">The shard; its gradient is on the device, and stays until
    /// <see cref="Enqueue"/>.</param>
    /// <param name="gradientScale">Factor for gradients, a scalar on the device.</param>
    /// <param name="settings">The numbers of this step.</param>
    /// <param name="rounding">Seed of the step's rounding.</param>
    public void Update(FlatShard shard, Tensor gradientScale, in AdamWStep settings, MaskSeed rounding)
    {
        try
        {
            foreach (var (parameter, inShard, inParameter, count) in shard.Overlaps())
            {
                var draws = ShardUpdate.RoundingOf(parameter, rounding, inParameter);
                for (long from = 0; from < count; from += PieceElements)
                {
                    var slot = slots[turn];
                    turn = (turn + 1) % Slots;
                    slot.Settle();
                    var piece = new Piece(
                        shard,
                        inShard + from,
                        Math.Min(PieceElements, count - from),
                        gradientScale,
                        settings,
                        draws.From(from),
                        slot
                    );
                    slot.CopyUp(up, piece, device);
                    coming.Enqueue(piece);
                    if (coming.Count > 1)
                    {
                        UpdateOldest();
                    }
                }
            }
        }
        catch
        {
            Drop();
            throw;
        }
    }

    /// <summary>Enqueues what is left of the updates that were started; their gradients may then be changed or
    /// released by later work on the current stream.</summary>
    public void Enqueue()
    {
        try
        {
            while (coming.Count > 0)
            {
                UpdateOldest();
            }
        }
        catch
        {
            Drop();
            throw;
        }
    }

    /// <summary>Returns when all updates that were started are complete, in host memory as well.</summary>
    public void Finish()
    {
        Enqueue();
        foreach (var slot in slots)
        {
            slot.Finish();
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        up.Dispose();
        down.Dispose();
        foreach (var slot in slots)
        {
            slot.Dispose();
        }
    }

    /// <summary>Forgets updates that were started: those of a step that failed are not continued.</summary>
    public void Drop()
    {
        coming.Clear();
        foreach (var slot in slots)
        {
            slot.Finish();
        }
    }

    private void UpdateOldest()
    {
        using var scope = NewDisposeScope();
        var piece = coming.Dequeue();
        var (weights, moments) = piece.Slot.Arrive(piece);
        ShardUpdate.Run(
            kernels,
            weights,
            piece.Shard.Gradient.narrow(0, piece.From, piece.Count),
            moments,
            piece.Scale,
            piece.Settings,
            piece.Rounding
        );
        piece.Slot.CopyDown(down, piece, weights);
    }

    // A part of a shard whose state is being copied up.
    private sealed record Piece(
        FlatShard Shard,
        long From,
        long Count,
        Tensor Scale,
        AdamWStep Settings,
        Rounding Rounding,
        Slot Slot
    );

    // Device memory for the state of one piece, and the copies from and to it.
    private sealed class Slot : IDisposable
    {
        private const int MasterPlace = 0;
        private readonly Tensor?[] buffers = new Tensor?[6];
        private readonly List<HostCopies.Copy> copies = [];
        private Tensor[] staged = [];

        // Host memory in the order of the places; what is on the device already has none.
        private static Tensor?[] PlacesOf(Piece piece)
        {
            var moments = piece.Shard.Moments.Narrow(piece.From, piece.Count);
            var master = piece.Shard.Master.narrow(0, piece.From, piece.Count);
            return [master, moments.First, moments.Second, moments.FirstLargest, moments.SecondLargest];
        }

        public void CopyUp(HostCopies up, Piece piece, Device device)
        {
            using var scope = NewDisposeScope();
            var places = PlacesOf(piece);
            staged = new Tensor[places.Length];
            for (var i = 0; i < places.Length; i++)
            {
                if (places[i] is { device_type: TorchSharp.DeviceType.CPU } host)
                {
                    staged[i] = Buffer(i, host.dtype, host.shape[0], device).DetachFromDisposeScope();
                    copies.Add(up.ToDevice(TensorAddress.Of(host), staged[i]));
                }
            }
        }

        // In the caller's dispose scope.
        public (Tensor Weights, Moments Moments) Arrive(Piece piece)
        {
            foreach (var copy in copies)
            {
                copy.Await();
            }

            copies.Clear();
            var places = PlacesOf(piece);
            Tensor? At(int i) => staged[i] ?? places[i];
            return (At(MasterPlace)!, new Moments(At(1)!, At(2)!, At(3), At(4)));
        }

        public void CopyDown(HostCopies down, Piece piece, Tensor weights)
        {
            var places = PlacesOf(piece);
            for (var i = 0; i < places.Length; i++)
            {
                if (staged[i] is { } changed)
                {
                    copies.Add(down.ToHost(changed, TensorAddress.Of(places[i]!)));
                }
            }

            if (piece.Shard.Compute is not { } compute)
            {
                return;
            }

            var target = compute.narrow(0, piece.From, piece.Count);
            if (piece.Shard.ComputeRestsOnHost)
            {
                var rounded = Buffer(buffers.Length - 1, target.dtype, piece.Count, weights.device);
                rounded.copy_(weights);
                copies.Add(down.ToHost(rounded, TensorAddress.Of(target)));
            }
            else
            {
                target.copy_(weights);
            }
        }

        // Copies down are done before later work on the compute stream.
        public void Settle()
        {
            foreach (var copy in copies)
            {
                copy.Await();
            }

            Release();
        }

        public void Finish()
        {
            foreach (var copy in copies)
            {
                copy.Wait();
            }

            Release();
        }

        public void Dispose()
        {
            Release();
            foreach (var buffer in buffers)
            {
                buffer?.Dispose();
            }
        }

        private void Release()
        {
            copies.Clear();
            foreach (var view in staged)
            {
                view?.Dispose();
            }

            staged = [];
        }

        private Tensor Buffer(int place, ScalarType type, long count, Device device)
        {
            if (buffers[place] is not { } there || there.dtype != type || there.shape[0] < count)
            {
                buffers[place]?.Dispose();
                buffers[place] = null;
                buffers[place] = there = empty(count, type, device).DetachFromDisposeScope();
            }

            return there.narrow(0, 0, count);
        }
    }
}
