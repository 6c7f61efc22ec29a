using System.Runtime.InteropServices;
using GlmTune.Kernels.Cuda;
using GlmTune.Kernels.Dispatch;
using GlmTune.Kernels.Native;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Memory;

/// <summary>Host memory for asynchronous copies from and to a GPU; on a machine without a GPU, plain memory.</summary>
/// <remarks>A block may be refilled after <see cref="Wait"/>, which returns when the copies queued from it are done.
/// Not thread-safe. Source: CUDA driver API, "Memory Management", page-locked memory.</remarks>
internal sealed unsafe class PinnedMemory : IDisposable
{
    private readonly Device device;
    private nint address;
    private nint copied;

    /// <param name="device">The GPU that copies from it; for the CPU, plain memory.</param>
    /// <param name="bytes">Size in bytes.</param>
    /// <exception cref="CudaException">The system cannot lock that much memory.</exception>
    public PinnedMemory(Device device, long bytes)
    {
        (this.device, Bytes) = (device, bytes);
        if (device.type != DeviceType.CUDA)
        {
            address = (nint)NativeMemory.AlignedAlloc((nuint)bytes, 64);
            return;
        }

        nint block;
        CudaContext.Ensure(device);
        CudaDriver.Check(CudaDriver.MemoryHostAllocate(&block, (nuint)bytes, 0), $"lock {bytes} bytes of host memory");
        address = block;
        copied = CudaEvent.Create();
    }

    /// <summary>Size in bytes.</summary>
    public long Bytes { get; }

    /// <summary>Address of the first byte.</summary>
    public nint Address => address;

    /// <summary>Elements starting at a byte offset.</summary>
    public Span<T> At<T>(long offset, int count)
        where T : unmanaged => new((byte*)address + offset, count);

    /// <summary>A host tensor over this memory, [count]; valid as long as the memory.</summary>
    public Tensor View(ScalarType type, long count)
    {
        long stride = 1;
        nint handle;
        AtenShim.Check(
            AtenShim.TensorFromBlob((void*)address, 1, &count, &stride, 0, (int)type, (int)DeviceType.CPU, 0, &handle),
            "make a tensor of given memory"
        );
        return Tensor.UnsafeCreateTensor(handle);
    }

    /// <summary>Queues a copy on the current stream.</summary>
    /// <param name="target">Contiguous device memory, [bytes], of any type.</param>
    /// <param name="from">Offset of the first byte in this memory.</param>
    /// <param name="bytes">Number of bytes; at most the size of the target.</param>
    /// <param name="at">Offset of the first byte written in the target.</param>
    public void CopyTo(Tensor target, long from, long bytes, long at = 0)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(from + bytes, Bytes);
        var destination = TensorAddress.Of(target) + (nint)at;
        if (copied == 0)
        {
            Buffer.MemoryCopy((byte*)address + from, (void*)destination, bytes, bytes);
            return;
        }

        CudaContext.Ensure(device);
        var stream = CudaStream.Current(Math.Max(0, device.index));
        CudaDriver.Check(
            CudaDriver.MemoryCopyToDevice(destination, address + (nint)from, (nuint)bytes, stream),
            "copy to the GPU"
        );
        CudaEvent.Record(copied, stream);
    }

    /// <summary>Queues a copy from the device on the current stream; the result may be read after
    /// <see cref="Wait"/>.</summary>
    /// <param name="source">Contiguous device memory, of any type.</param>
    /// <param name="bytes">Number of bytes, from the start of both; at most the size of either.</param>
    public void CopyFrom(Tensor source, long bytes)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(bytes, Bytes);
        var from = TensorAddress.Of(source);
        if (copied == 0)
        {
            Buffer.MemoryCopy((void*)from, (void*)address, bytes, bytes);
            return;
        }

        CudaContext.Ensure(device);
        var stream = CudaStream.Current(Math.Max(0, device.index));
        CudaDriver.Check(CudaDriver.MemoryCopyToHost(address, from, (nuint)bytes, stream), "copy from the GPU");
        CudaEvent.Record(copied, stream);
    }

    /// <summary>Waits until all queued copies are done, so that the memory may be read or refilled.</summary>
    public void Wait()
    {
        if (copied != 0)
        {
            CudaContext.Ensure(device);
            CudaEvent.Wait(copied);
        }
    }

    /// <summary>Whether <see cref="Wait"/> would return at once.</summary>
    public bool IsIdle
    {
        get
        {
            if (copied == 0)
            {
                return true;
            }

            CudaContext.Ensure(device);
            return CudaEvent.HasHappened(copied);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (address == 0)
        {
            return;
        }

        if (copied == 0)
        {
            NativeMemory.AlignedFree((void*)address);
        }
        else
        {
            Wait();
            CudaEvent.Destroy(copied);
            _ = CudaDriver.MemoryHostFree(address);
        }

        (address, copied) = (0, 0);
    }
}
