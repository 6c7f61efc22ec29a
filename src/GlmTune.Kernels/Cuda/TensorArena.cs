using GlmTune.Kernels.Dispatch;
using GlmTune.Kernels.Native;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Cuda;

/// <summary>A block of memory from which kernels allocate their outputs sequentially, so that a repeated pass finds
/// them at the same addresses.</summary>
/// <remarks>
/// A captured graph writes to fixed addresses, so nothing in it may come from libtorch's allocator, which would hand
/// the same memory to others. Tensors taken from the arena are valid until it is opened again or disposed. Not
/// thread-safe. </remarks>
internal sealed unsafe class TensorArena : IDisposable
{
    private const long Alignment = 256;

    [ThreadStatic]
    private static TensorArena? open;

    private readonly Tensor memory;
    private readonly nint start;
    private long limit;

    /// <param name="device">Device of the memory.</param>
    /// <param name="bytes">Size in bytes.</param>
    public TensorArena(Device device, long bytes)
    {
        memory = empty(bytes, ScalarType.Byte, device).DetachFromDisposeScope();
        start = TensorAddress.Of(memory);
    }

    /// <summary>Offset of the next allocation, in bytes.</summary>
    public long Used { get; private set; }

    /// <summary>Makes subsequent allocations come from a section of the arena. Reusing a section overwrites it: its
    /// contents must no longer be needed.</summary>
    /// <param name="from">Offset of its first byte; a multiple of 256.</param>
    /// <param name="bytes">Its size; if it is too small, allocating throws
    /// <see cref="ArenaFullException"/>.</param>
    /// <exception cref="ArgumentOutOfRangeException">The section is not inside the arena.</exception>
    public void TakeFrom(long from, long bytes)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(from % Alignment, 0);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(from + bytes, memory.numel());
        (Used, limit) = (from, from + bytes);
    }

    /// <summary>The arena used by this thread's kernels; null if there is none.</summary>
    internal static TensorArena? Open => open;

    /// <summary>Makes this thread's kernels allocate from the start of this arena until disposed.</summary>
    public IDisposable Use()
    {
        (Used, limit) = (0, memory.numel());
        var before = open;
        open = this;
        return new Closing(before);
    }

    /// <inheritdoc/>
    public void Dispose() => memory.Dispose();

    /// <summary>The next allocation, uninitialized.</summary>
    /// <exception cref="ArenaFullException">Not enough memory is left.</exception>
    internal nint Take(ScalarType type, Device device, int dimensions, long* shape, long* strides, long elements)
    {
        var bytes = elements * type.ElementSize();
        if (Used + bytes > limit)
        {
            throw new ArenaFullException(
                $"The arena has {limit - Used} of {memory.numel()} bytes left, but {bytes} are requested. "
                    + "Make it larger."
            );
        }

        nint handle;
        AtenShim.Check(
            AtenShim.TensorFromBlob(
                (void*)(start + (nint)Used),
                dimensions,
                shape,
                strides,
                0,
                (int)type,
                (int)device.type,
                device.index,
                &handle
            ),
            "make a tensor in an arena"
        );
        Used += (bytes + Alignment - 1) / Alignment * Alignment;
        return handle;
    }

    private sealed class Closing(TensorArena? before) : IDisposable
    {
        public void Dispose() => open = before;
    }
}
