using GlmTune.Kernels.Memory;
using static TorchSharp.torch;

namespace GlmTune.Model.Layers;

/// <summary>Inputs of the decoder layers in page-locked host memory, between the forward and the backward pass: what
/// remains of a recomputed layer then takes no device memory.</summary>
/// <remarks>Copies run beside the computation on a stream of their own: to the host while the next layers run forward,
/// and back while the layer above runs backward. At most <see cref="BuffersOnDevice"/> inputs are on the device at a
/// time. Host memory is allocated in the first pass and kept for the next ones. Not thread-safe; one pass at a
/// time.</remarks>
/// <param name="device">Device of the layers.</param>
/// <param name="expectedBytes">Bytes of a layer's input in the largest pass, if known: an input that is larger than all
/// before it needs new memory.</param>
internal sealed class OffloadedInputs(Device device, long expectedBytes = 0) : IDisposable
{
    /// <summary>Inputs on the device at a time: of the running layer, and of the one before it (forward) or the next
    /// one (backward).</summary>
    public const int BuffersOnDevice = 2;

    private readonly HostCopies copies = new(device);
    private readonly Dictionary<int, PinnedMemory> blocks = [];
    private readonly SortedDictionary<int, (long[] Shape, ScalarType Type)> stored = [];
    private readonly Queue<Moving> leaving = new();
    private Moving? arriving;

    /// <summary>Bytes of the inputs that are on the device now.</summary>
    public long DeviceBytes =>
        leaving.Sum(moving => moving.Tensor.numel() * moving.Tensor.ElementSize)
        + (arriving is { Tensor: var tensor } ? tensor.numel() * tensor.ElementSize : 0);

    /// <summary>Bytes of host memory allocated so far.</summary>
    public long HostBytes => blocks.Values.Sum(block => block.Bytes);

    /// <summary>Starts to copy a layer's input to the host.</summary>
    /// <param name="layer">Index of the layer; above those stored before.</param>
    /// <param name="input">[N, C], contiguous; remains owned by the caller, who may dispose it.</param>
    /// <exception cref="Kernels.Cuda.CudaException">The system cannot lock enough memory.</exception>
    internal void Store(int layer, Tensor input)
    {
        while (leaving.Count >= BuffersOnDevice)
        {
            leaving.Dequeue().Release();
        }

        var block = BlockFor(layer, input.numel() * input.ElementSize);
        leaving.Enqueue(Started(layer, input.alias(), held => copies.ToHost(held, block.Address)));
        stored[layer] = (input.shape, input.dtype);
    }

    /// <summary>A layer's input, on the device again; the caller disposes it. The input of the layer below is then on
    /// its way.</summary>
    /// <param name="layer">Index of the layer; below those taken before.</param>
    internal Tensor Take(int layer)
    {
        var moving = arriving is { } there && there.Layer == layer ? there : Fetch(layer);
        arriving = null;
        stored.Remove(layer);
        var input = moving.Arrive();
        try
        {
            arriving = stored.Count == 0 ? null : Fetch(stored.Keys.Last());
            return input;
        }
        catch
        {
            input.Dispose();
            throw;
        }
    }

    /// <summary>Drops all inputs, as after a pass that failed.</summary>
    internal void Forget()
    {
        while (leaving.TryDequeue(out var moving))
        {
            moving.Release();
        }

        arriving?.Release();
        arriving = null;
        stored.Clear();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Forget();
        copies.Dispose();
        foreach (var block in blocks.Values)
        {
            block.Dispose();
        }

        blocks.Clear();
    }

    // The inputs stored last may still be on the device.
    private Moving Fetch(int layer)
    {
        for (var count = leaving.Count; count > 0; count--)
        {
            var moving = leaving.Dequeue();
            if (moving.Layer == layer)
            {
                return moving;
            }

            leaving.Enqueue(moving);
        }

        var (shape, type) = stored[layer];
        return Started(layer, empty(shape, type, device), input => copies.ToDevice(blocks[layer].Address, input));
    }

    private static Moving Started(int layer, Tensor input, Func<Tensor, HostCopies.Copy> start)
    {
        try
        {
            return new Moving(layer, input.DetachFromDisposeScope(), start(input));
        }
        catch
        {
            input.Dispose();
            throw;
        }
    }

    private PinnedMemory BlockFor(int layer, long bytes)
    {
        if (blocks.TryGetValue(layer, out var block))
        {
            if (block.Bytes >= bytes)
            {
                return block;
            }

            copies.Synchronize();
            blocks.Remove(layer);
            block.Dispose();
        }

        return blocks[layer] = new PinnedMemory(device, Math.Max(bytes, expectedBytes));
    }

    // An input with the copy that is made of it, or that it is made by.
    private sealed record Moving(int Layer, Tensor Tensor, HostCopies.Copy Copy)
    {
        public Tensor Arrive()
        {
            Copy.Await();
            return Tensor;
        }

        // Later work may use the memory only after the copy.
        public void Release()
        {
            Copy.Await();
            Tensor.Dispose();
        }
    }
}
