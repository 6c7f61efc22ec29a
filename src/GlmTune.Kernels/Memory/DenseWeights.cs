using GlmTune.Kernels.Cuda;
using GlmTune.Kernels.Definitions;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Memory;

/// <summary>Frozen weights in the type that products take, one at a time and the next one ahead: two buffers, each as
/// large as the largest weight. On a GPU, the weight that followed last time is dequantized on a stream of its own
/// while the current one is multiplied, so that products do not wait.</summary>
/// <remarks>Work that is captured as a graph, or runs before it is captured, has a third buffer, in which its own
/// stream dequantizes: a replay may come at any time. Not thread-safe.</remarks>
/// <param name="kernels">Dequantizes.</param>
/// <param name="type">Type of the dequantized weights.</param>
/// <param name="device">Device of the weights.</param>
internal sealed class DenseWeights(LayerKernels kernels, ScalarType type, Device device) : IDisposable
{
    private readonly Slot[] slots = [new(), new()];
    private readonly Slot captured = new();
    private readonly Dictionary<Place, FrozenMatrix> followers = [];
    private Place? place;
    private long elements;
    private nint stream;
    private nint computing;

    /// <summary>Bytes of the buffers that are in use so far.</summary>
    public long Bytes =>
        slots.Append(captured).Sum(slot => slot.Memory is null ? 0 : slot.Memory.numel() * slot.Memory.element_size());

    /// <summary>Number of weights that were dequantized before they were asked for.</summary>
    public long Foreseen { get; private set; }

    /// <summary>Number of weights that were dequantized when they were asked for.</summary>
    public long Unforeseen { get; private set; }

    /// <summary>Makes the buffers large enough for a weight; before they are first used.</summary>
    public void MakeRoom(FrozenMatrix weight) => elements = Math.Max(elements, weight.Rows * weight.Columns);

    /// <summary>A weight in the type that products take, [out, in]; owned by this object, and valid until two others
    /// have been asked for.</summary>
    /// <param name="weight">One of those that room was made for.</param>
    /// <param name="backward">Whether gradients are computed with it; weights follow one another differently
    /// there.</param>
    public Tensor Of(FrozenMatrix weight, bool backward = false)
    {
        if (CudaGraph.NeedsFixedMemory)
        {
            // A replay overwrites the buffer, so its contents are never taken for known.
            Fill(captured, weight);
            return captured.View!;
        }

        var index = Array.FindIndex(slots, slot => ReferenceEquals(slot.Weight, weight));
        var found = index >= 0;
        if (!found)
        {
            index = place is { } last && ReferenceEquals(slots[0].Weight, last.Weight) ? 1 : 0;
            AwaitFilling(slots[index]);
            Fill(slots[index], weight);
        }

        AwaitFilling(slots[index]);
        if (place is not { } before || !ReferenceEquals(before.Weight, weight) || before.Backward != backward)
        {
            (Foreseen, Unforeseen) = found ? (Foreseen + 1, Unforeseen) : (Foreseen, Unforeseen + 1);
            if (place is { } left)
            {
                followers[left] = weight;
            }

            place = new Place(weight, place?.Weight, backward);
            Foresee(slots[1 - index]);
        }

        return slots[index].View!;
    }

    /// <summary>The weight in use, or another one as <see cref="Of"/>.</summary>
    public Tensor Same(FrozenMatrix weight) => Of(weight, place is { Backward: true });

    /// <inheritdoc/>
    public void Dispose()
    {
        if (stream != 0)
        {
            CudaContext.Ensure(device);
            CudaStream.Synchronize(stream);
            CudaEvent.Destroy(computing);
            CudaStream.Destroy(stream);
            (stream, computing) = (0, 0);
        }

        foreach (var slot in slots.Append(captured))
        {
            slot.Dispose();
        }

        place = null;
        followers.Clear();
    }

    private nint Current => CudaStream.Current(Math.Max(0, device.index));

    // The current stream has queued all that reads the slot.
    private void Foresee(Slot slot)
    {
        if (
            device.type != DeviceType.CUDA
            || !followers.TryGetValue(place!.Value, out var next)
            || slots.Any(each => ReferenceEquals(each.Weight, next))
        )
        {
            return;
        }

        CudaContext.Ensure(device);
        if (stream == 0)
        {
            (stream, computing) = (CudaStream.CreateUrgent(), CudaEvent.Create());
        }

        // The buffer is made on the current stream, whose memory it stays.
        Reserve(slot);
        CudaEvent.Record(computing, Current);
        CudaStream.Await(stream, computing);
        using (CudaStream.Use(stream, Math.Max(0, device.index)))
        {
            Fill(slot, next);
            slot.Filled = slot.Filled == 0 ? CudaEvent.Create() : slot.Filled;
            CudaEvent.Record(slot.Filled, stream);
            slot.IsFilling = true;
        }
    }

    private void AwaitFilling(Slot slot)
    {
        if (slot.IsFilling)
        {
            CudaContext.Ensure(device);
            CudaStream.Await(Current, slot.Filled);
            slot.IsFilling = false;
        }
    }

    private void Fill(Slot slot, FrozenMatrix weight)
    {
        Reserve(slot);
        slot.View?.Dispose();
        using var scope = NewDisposeScope();
        var run = slot.Memory!.narrow(0, 0, weight.Rows * weight.Columns);
        slot.View = run.view(weight.Rows, weight.Columns).DetachFromDisposeScope();
        slot.Weight = weight;
        kernels.Dequantize(weight, slot.View);
    }

    private void Reserve(Slot slot)
    {
        if (slot.Memory is not null)
        {
            return;
        }

        // On the GPU's own first stream, so that it takes no part of what is reserved for captures.
        using var usual = device.type == DeviceType.CUDA ? CudaStream.Use(0, Math.Max(0, device.index)) : null;
        slot.Memory = empty([elements], type, device).DetachFromDisposeScope();
    }

    // Where a pass is: the weight in use, the one before it, and the direction.
    private readonly record struct Place(FrozenMatrix Weight, FrozenMatrix? Before, bool Backward);

    private sealed class Slot : IDisposable
    {
        public Tensor? Memory { get; set; }

        public Tensor? View { get; set; }

        public FrozenMatrix? Weight { get; set; }

        public nint Filled { get; set; }

        public bool IsFilling { get; set; }

        public void Dispose()
        {
            View?.Dispose();
            Memory?.Dispose();
            (View, Memory, Weight, IsFilling) = (null, null, null, false);
            if (Filled != 0)
            {
                CudaEvent.Destroy(Filled);
                Filled = 0;
            }
        }
    }
}
