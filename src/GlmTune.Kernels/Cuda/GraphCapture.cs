using GlmTune.Kernels.Memory;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Cuda;

/// <summary>Captures whole passes as CUDA graphs on a stream of its own, with memory that libtorch's allocator reserves
/// for that stream.</summary>
/// <remarks>The allocator returns a freed block only to the stream for which it was allocated. Only captures run on
/// this stream, so blocks used and freed during a capture belong to captures alone, and their replays, which are
/// serialized on one stream, find them at the same addresses. The allocator would return blocks to the driver only when
/// out of memory, and never a block of which a part is in use; so the memory is reserved as one block at the start, and
/// its first part is held. Results of a replay that are needed later must be copied to tensors allocated elsewhere. Not
/// thread-safe. Source: CUDA driver API, "Graph management"; libtorch's c10/cuda/CUDACachingAllocator.cpp for the
/// allocator's rules.</remarks>
internal sealed class GraphCapture : IDisposable
{
    private const int Mebibyte = 1 << 20;

    // The allocator cuts blocks below one mebibyte from blocks of two.
    private const int SmallPieces = 48;
    private const int HeldBytes = 512;

    private readonly Device device;
    private readonly nint stream;
    private readonly List<Tensor> held = [];

    private GraphCapture(Device device, nint stream) => (this.device, this.stream) = (device, stream);

    /// <summary>Creates a capture without reserved memory; null if there is no GPU.</summary>
    /// <param name="device">The GPU.</param>
    public static GraphCapture? TryCreate(Device device)
    {
        if (device.type != DeviceType.CUDA)
        {
            return null;
        }

        CudaContext.Ensure(device);
        return new GraphCapture(device, CudaStream.Create());
    }

    /// <summary>Reserves memory for captures, for the lifetime of this object.</summary>
    /// <param name="bytes">Approximate memory needed at a time by the largest capture.</param>
    /// <returns>False, with nothing reserved, if that is a large part of the free memory.</returns>
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

    /// <summary>Runs <paramref name="work"/>, then captures it without running it.</summary>
    /// <param name="work">Called twice. The second call must only launch kernels: its other effects on the host must be
    /// harmless.</param>
    /// <param name="recovery">Called if the capture fails, when the host's part of the work is half done.</param>
    /// <returns>The captured graph; null if something in the work cannot be captured.</returns>
    public CudaGraph? RunAndCapture(Action work, Action recovery)
    {
        cuda.synchronize(device);
        CudaContext.Ensure(device);
        using (CudaStream.Use(stream, Math.Max(0, device.index)))
        {
            CudaGraph.Prepare(work);
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

    /// <summary>Why the last capture failed; null if none did.</summary>
    public string? Refusal { get; private set; }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var tensor in held)
        {
            tensor.Dispose();
        }

        held.Clear();
        // The stream is never destroyed: libtorch keeps library workspaces per stream.
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
