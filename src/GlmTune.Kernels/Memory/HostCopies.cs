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
public sealed unsafe class HostCopies : IDisposable
{
    private const uint NonBlocking = 1;
    private const uint NoTiming = 2;
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
            nint made;
            CudaDriver.Check(CudaDriver.StreamCreate(&made, NonBlocking), "create a stream");
            stream = made;
            ready = MakeEvent();
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

    /// <inheritdoc/>
    public void Dispose()
    {
        if (stream == 0)
        {
            return;
        }

        CudaContext.Ensure(device);
        CudaDriver.Check(CudaDriver.StreamSynchronize(stream), "wait for copies");
        while (idle.TryPop(out var handle))
        {
            _ = CudaDriver.EventDestroy(handle);
        }

        _ = CudaDriver.EventDestroy(ready);
        _ = CudaDriver.StreamDestroy(stream);
        (stream, ready) = (0, 0);
    }

    private Copy Start(nint host, Tensor tensor, bool toDevice)
    {
        var (place, bytes) = (TensorAddress.Of(tensor), tensor.numel() * tensor.element_size());
        if (stream == 0)
        {
            var (from, to) = toDevice ? (host, place) : (place, host);
            Buffer.MemoryCopy((void*)from, (void*)to, bytes, bytes);
            return default;
        }

        CudaContext.Ensure(device);
        CudaDriver.Check(CudaDriver.EventRecord(ready, Computing), "record an event");
        CudaDriver.Check(CudaDriver.StreamWaitEvent(stream, ready, 0), "wait for an event");
        CudaDriver.Check(
            toDevice
                ? CudaDriver.MemoryCopyToDevice(place, host, (nuint)bytes, stream)
                : CudaDriver.MemoryCopyToHost(host, place, (nuint)bytes, stream),
            $"copy {bytes} bytes {(toDevice ? "to" : "from")} the GPU"
        );
        var done = idle.TryPop(out var handle) ? handle : MakeEvent();
        CudaDriver.Check(CudaDriver.EventRecord(done, stream), "record an event");
        return new Copy(this, done);
    }

    private nint Computing => CudaStream.Current(Math.Max(0, device.index));

    private static nint MakeEvent()
    {
        nint made;
        CudaDriver.Check(CudaDriver.EventCreate(&made, NoTiming), "create an event");
        return made;
    }

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
                CudaDriver.Check(CudaDriver.EventSynchronize(done), "wait for a copy");
                owner.idle.Push(done);
            }
        }

        /// <summary>Makes subsequent work on the current stream wait for the copy.</summary>
        public void Await()
        {
            if (owner is not null)
            {
                CudaContext.Ensure(owner.device);
                CudaDriver.Check(CudaDriver.StreamWaitEvent(owner.Computing, done, 0), "wait for an event");
                owner.idle.Push(done);
            }
        }
    }
}
