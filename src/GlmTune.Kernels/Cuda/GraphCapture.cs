using GlmTune.Kernels.Memory;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Cuda;

/// <summary>Captures whole passes as graphs, on a stream of its own, with the memory that libtorch's allocator keeps
/// for that stream.</summary>
/// <remarks>
/// The allocator hands a freed block only to the stream it was made for. Nothing but captures runs here, so what a
/// capture took and gave back belongs to captures alone: their replays, which follow each other on one stream, find
/// it at the same addresses. Only an allocator that is out of memory would give the blocks back to the driver; a block
/// of which a part is held is never given back, so the memory is reserved as one block at the start and its first part
/// is held. What a replay leaves for later work is to be copied to tensors made outside. Not thread-safe. Source: CUDA
/// driver API, "Graph management"; libtorch's c10/cuda/CUDACachingAllocator.cpp for the allocator's rules. </remarks>
public sealed unsafe class GraphCapture : IDisposable
{
    private const uint NonBlocking = 1;
    private const int Mebibyte = 1 << 20;

    // The allocator's blocks for tensors below one mebibyte are cut from pieces of two.
    private const int SmallPieces = 48;
    private const int HeldBytes = 512;

    private readonly Device device;
    private readonly nint stream;
    private readonly List<Tensor> held = [];

    private GraphCapture(Device device, nint stream) => (this.device, this.stream) = (device, stream);

    /// <summary>A capture, with no memory yet; null where there is no GPU.</summary>
    /// <param name="device">Which.</param>
    public static GraphCapture? TryCreate(Device device)
    {
        if (device.type != DeviceType.CUDA)
        {
            return null;
        }

        CudaContext.Ensure(device);
        nint stream;
        CudaDriver.Check(CudaDriver.StreamCreate(&stream, NonBlocking), "create a stream");
        return new GraphCapture(device, stream);
    }

    /// <summary>Reserves memory for captures, which lasts as long as this.</summary>
    /// <param name="bytes">What the largest capture needs at a time, roughly.</param>
    /// <returns>False, and nothing is reserved, where that is no small part of what is free.</returns>
    public bool TryReserve(long bytes)
    {
        if (DeviceMemory.Of(device) is not { } memory || bytes > memory.Free / 4)
        {
            Refusal = $"not enough free memory to reserve {bytes >> 20} MiB for CUDA graphs";
            return false;
        }

        Reserve(bytes);
        return true;
    }

    /// <summary>Runs <paramref name="work"/> as it is, then captures it without running it.</summary>
    /// <param name="work">Called twice, the second time for nothing but its launches: what else it changes on the host
    /// must bear that.</param>
    /// <param name="recovery">Called where capture fails, with the work half done on the host.</param>
    /// <returns>The capture; null where something in the work cannot be captured.</returns>
    public CudaGraph? RunAndCapture(Action work, Action recovery)
    {
        cuda.synchronize(device);
        CudaContext.Ensure(device);
        using (CudaStream.Use(stream, Math.Max(0, device.index)))
        {
            work();
        }

        cuda.synchronize(device);
        try
        {
            using (CudaStream.Use(stream, Math.Max(0, device.index)))
            {
                return CudaGraph.Capture(device, stream, work);
            }
        }
        catch (Exception error)
            when (error is CudaException or Dispatch.AtenException or System.Runtime.InteropServices.ExternalException)
        {
            Refusal = error.Message;
            recovery();
            return null;
        }
    }

    /// <summary>Why the last capture failed; null: none did.</summary>
    public string? Refusal { get; private set; }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var tensor in held)
        {
            tensor.Dispose();
        }

        held.Clear();
        // The stream stays: libtorch keeps libraries' workspaces by stream.
    }

    private void Reserve(long bytes)
    {
        using var current = CudaStream.Use(stream, Math.Max(0, device.index));
        empty(bytes, ScalarType.Byte, device).Dispose();
        held.Add(Held(2 * Mebibyte));
        var fillers = new List<Tensor>();
        for (var i = 0; i < SmallPieces; i++)
        {
            held.Add(Held(HeldBytes));
            fillers.Add(Held(Mebibyte));
            fillers.Add(Held(Mebibyte - HeldBytes));
        }

        fillers.ForEach(filler => filler.Dispose());
    }

    private Tensor Held(long bytes) => empty(bytes, ScalarType.Byte, device).DetachFromDisposeScope();
}
