using GlmTune.Kernels.Cuda;
using GlmTune.Kernels.Native;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Memory;

/// <summary>Copies between host memory and a GPU concurrently with computation, on a stream of their own; on the CPU,
/// plain copies.</summary>
/// <remarks>A copy starts when everything enqueued before it on the current stream is done, and copies run in order.
/// Memory on both sides must stay valid until a copy is done. Not thread-safe. Source: CUDA driver API, stream and
/// event management.</remarks>
internal sealed unsafe class HostCopies : IDisposable
{
    private readonly Device device;
    private readonly Stack<nint> idle = [];
    private nint stream;
    private nint ready;

    /// <param name="device">The GPU; on the CPU, copies are done immediately.</param>
    public HostCopies(Device device)
    {
        this.device = device;
        if (device.type == DeviceType.CUDA)
        {
            CudaContext.Ensure(device);
            (stream, ready) = (CudaStream.Create(), CudaEvent.Create());
        }
    }

    /// <summary>Starts a copy to the device.</summary>
    /// <param name="from">Page-locked memory; otherwise the copy does not overlap with computation.</param>
    /// <param name="target">Contiguous, on the device; written completely.</param>
    public Copy ToDevice(nint from, Tensor target) => Start(from, target, toDevice: true);

    /// <summary>Starts a copy to the host.</summary>
    /// <param name="source">Contiguous, on the device; read completely.</param>
    /// <param name="to">Page-locked memory; otherwise the copy does not overlap with computation.</param>
    public Copy ToHost(Tensor source, nint to) => Start(to, source, toDevice: false);

    /// <summary>Returns when all copies are done.</summary>
    public void Synchronize()
    {
        if (stream != 0)
        {
            CudaContext.Ensure(device);
            CudaStream.Synchronize(stream);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (stream == 0)
        {
            return;
        }

        CudaContext.Ensure(device);
        CudaStream.Synchronize(stream);
        while (idle.TryPop(out var handle))
        {
            CudaEvent.Destroy(handle);
        }

        CudaEvent.Destroy(ready);
        CudaStream.Destroy(stream);
        (stream, ready) = (0, 0);
    }

    private Copy Start(nint host, Tensor tensor, bool toDevice)
    {
        var (address, bytes) = (TensorAddress.Of(tensor), TensorAddress.BytesOf(tensor));
        if (stream == 0)
        {
            var (from, to) = toDevice ? (host, address) : (address, host);
            Buffer.MemoryCopy((void*)from, (void*)to, bytes, bytes);
            return default;
        }

        CudaContext.Ensure(device);
        CudaEvent.Record(ready, Computing);
        CudaStream.Await(stream, ready);
        CudaDriver.Check(
            toDevice
                ? CudaDriver.MemoryCopyToDevice(address, host, (nuint)bytes, stream)
                : CudaDriver.MemoryCopyToHost(host, address, (nuint)bytes, stream),
            $"copy {bytes} bytes {(toDevice ? "to" : "from")} the GPU"
        );
        var done = idle.TryPop(out var handle) ? handle : CudaEvent.Create();
        CudaEvent.Record(done, stream);
        return new Copy(this, done);
    }

    private nint Computing => CudaStream.Current(Math.Max(0, device.index));

    /// <summary>A copy in progress; must be waited for once, on the host or by the current stream.</summary>
    public readonly record struct Copy
    {
        private readonly HostCopies? owner;
        private readonly nint done;

        internal Copy(HostCopies owner, nint done) => (this.owner, this.done) = (owner, done);

        /// <summary>Returns when the copy is done.</summary>
        public void Wait()
        {
            if (owner is not null)
            {
                CudaContext.Ensure(owner.device);
                CudaEvent.Wait(done);
                owner.idle.Push(done);
            }
        }

        /// <summary>Makes subsequent work on the current stream wait for the copy.</summary>
        public void Await()
        {
            if (owner is not null)
            {
                CudaContext.Ensure(owner.device);
                CudaStream.Await(owner.Computing, done);
                owner.idle.Push(done);
            }
        }
    }
}
