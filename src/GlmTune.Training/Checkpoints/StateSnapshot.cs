using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Memory;
using GlmTune.Kernels.Native;
using GlmTune.Model.Layers;
using GlmTune.Training.Sharding;
using static TorchSharp.torch;

namespace GlmTune.Training.Checkpoints;

/// <summary>A copy in host memory of what one rank saves, so that a checkpoint can be written while training
/// continues. The memory is allocated once, page-locked where there is a GPU, and reused.</summary>
/// <remarks>Copying overlaps with the next step's passes, which only read the state: <see cref="Begin"/> starts it, and
/// <see cref="AwaitBeforeUpdate"/> must be called before anything of the state changes. State on a GPU is copied on a
/// stream of its own, state in host memory by whichever thread calls <see cref="Complete"/>. Source: the idea of
/// snapshot and persist is that of Mohan et al., CheckFreq, FAST 2021, section 3.</remarks>
internal sealed class StateSnapshot : IDisposable
{
    // Bytes that one thread copies at a time.
    private const long Piece = 64L << 20;

    private readonly List<PinnedMemory> blocks = [];
    private readonly List<(Tensor From, Tensor To)> pairs = [];
    private readonly Dictionary<Parameter, Tensor> gathered = [];
    private readonly List<ShardState> states = [];
    private readonly Dictionary<Parameter, (ShardState State, FlatSegment Segment)> places = [];
    private readonly ManualResetEventSlim hostCopied = new(initialState: true);
    private readonly Queue<HostCopies.Copy> onTheirWay = new();
    private readonly HostCopies copies;
    private readonly Device device;

    /// <param name="states">The state that this rank saves.</param>
    /// <param name="device">Device of the run.</param>
    /// <param name="withMoments">Whether AdamW's moments are saved as well.</param>
    /// <exception cref="Exception">There is too little host memory.</exception>
    public StateSnapshot(IEnumerable<ShardState> states, Device device, bool withMoments)
    {
        this.device = device;
        copies = new HostCopies(device);
        try
        {
            foreach (var state in states)
            {
                var moments = state.Moments;
                var copy = new ShardState(
                    state.Layout,
                    CopyOf(state.Master),
                    withMoments
                        ? new Moments(
                            CopyOf(moments.First),
                            CopyOf(moments.Second),
                            moments.FirstLargest is { } first ? CopyOf(first) : null,
                            moments.SecondLargest is { } second ? CopyOf(second) : null
                        )
                        : moments
                );
                this.states.Add(copy);
                foreach (var segment in state.Layout.WorldSize == 1 ? state.Layout.Segments : [])
                {
                    places.Add(segment.Parameter, (copy, segment));
                }
            }
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>The copies; valid after <see cref="Complete"/>.</summary>
    public IReadOnlyList<ShardState> States => states;

    /// <summary>Bytes of host memory that the snapshot of such state takes.</summary>
    /// <param name="states">The state that this rank saves.</param>
    /// <param name="withMoments">Whether AdamW's moments are saved as well.</param>
    public static long BytesOf(IEnumerable<ShardState> states, bool withMoments) =>
        states.Sum(state =>
            TensorAddress.BytesOf(state.Master) + (withMoments ? state.Moments.Tensors.Sum(TensorAddress.BytesOf) : 0)
        );

    /// <summary>Starts copying the state as it is now. The copies of the previous snapshot are overwritten.</summary>
    public void Begin()
    {
        AwaitBeforeUpdate(); // of the previous snapshot, if no step followed it
        if (pairs.Exists(pair => IsOnHost(pair.From)))
        {
            hostCopied.Reset();
        }

        foreach (var (from, to) in pairs.Where(pair => !IsOnHost(pair.From)))
        {
            onTheirWay.Enqueue(copies.ToHost(from, TensorAddress.Of(to)));
        }
    }

    /// <summary>Stores values that are in memory only for a moment, such as weights gathered from all ranks; returns
    /// when they are copied.</summary>
    /// <param name="parameter">Their parameter.</param>
    /// <param name="value">Its values, in its shape.</param>
    public void Store(Parameter parameter, Tensor value)
    {
        using var scope = NewDisposeScope();
        if (!gathered.TryGetValue(parameter, out var target))
        {
            gathered.Add(parameter, target = Allocate(value).view(value.shape).DetachFromDisposeScope());
        }

        if (IsOnHost(value))
        {
            target.copy_(value);
        }
        else
        {
            copies.ToHost(value.contiguous(), TensorAddress.Of(target)).Wait();
        }
    }

    /// <summary>Whether a parameter's values are part of the copied state, so that they need not be stored.</summary>
    public bool Has(Parameter parameter) => places.ContainsKey(parameter);

    /// <summary>Whether <see cref="ValueOf"/> has a parameter's values.</summary>
    public bool Holds(Parameter parameter) => Has(parameter) || gathered.ContainsKey(parameter);

    /// <summary>The values of a parameter, in its shape; in the caller's dispose scope. Valid after
    /// <see cref="Complete"/>.</summary>
    /// <exception cref="KeyNotFoundException">This rank saves no such values.</exception>
    public Tensor ValueOf(Parameter parameter)
    {
        if (gathered.TryGetValue(parameter, out var stored))
        {
            return stored.alias();
        }

        var (state, segment) = places[parameter];
        return FlatLayout.View(state.Master, segment);
    }

    /// <summary>Makes what follows on this thread, on the host and on the GPU, wait until the state is copied; called
    /// by the thread that trains, before the state changes.</summary>
    public void AwaitBeforeUpdate()
    {
        hostCopied.Wait();
        while (onTheirWay.TryDequeue(out var copy))
        {
            copy.Await();
        }
    }

    /// <summary>Copies state that is in host memory, and returns when everything is copied; for the thread that
    /// writes.</summary>
    public void Complete()
    {
        if (!hostCopied.IsSet)
        {
            try
            {
                foreach (var (from, to) in pairs.Where(pair => IsOnHost(pair.From)))
                {
                    Copy(TensorAddress.Of(from), TensorAddress.Of(to), TensorAddress.BytesOf(to));
                }
            }
            finally
            {
                hostCopied.Set();
            }
        }

        copies.Synchronize();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        copies.Dispose();
        foreach (var (_, to) in pairs)
        {
            to.Dispose();
        }

        foreach (var value in gathered.Values)
        {
            value.Dispose();
        }

        blocks.ForEach(block => block.Dispose());
        pairs.Clear();
        gathered.Clear();
        blocks.Clear();
        states.Clear();
        places.Clear();
        hostCopied.Dispose();
    }

    private static bool IsOnHost(Tensor tensor) => tensor.device_type == TorchSharp.DeviceType.CPU;

    private Tensor CopyOf(Tensor tensor)
    {
        var copy = Allocate(tensor);
        pairs.Add((tensor, copy));
        return copy;
    }

    private Tensor Allocate(Tensor like)
    {
        var block = new PinnedMemory(device, Math.Max(1, TensorAddress.BytesOf(like)));
        blocks.Add(block);
        return block.View(like.dtype, like.numel()).DetachFromDisposeScope();
    }

    private static unsafe void Copy(nint from, nint to, long bytes)
    {
        var count = (bytes + Piece - 1) / Piece;
        if (count <= 1)
        {
            Buffer.MemoryCopy((void*)from, (void*)to, bytes, bytes);
            return;
        }

        Parallel.For(
            0,
            count,
            new ParallelOptions { MaxDegreeOfParallelism = Math.Max(1, Environment.ProcessorCount / 2) },
            i =>
            {
                var begin = i * Piece;
                var length = Math.Min(Piece, bytes - begin);
                Buffer.MemoryCopy((void*)(from + (nint)begin), (void*)(to + (nint)begin), length, length);
            }
        );
    }
}
