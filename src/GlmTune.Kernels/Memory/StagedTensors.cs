using GlmTune.Kernels.Dispatch;
using GlmTune.Kernels.Native;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Memory;

/// <summary>Small inputs at fixed addresses of a device, filled on the host and sent by one copy that nothing waits
/// for.</summary>
/// <remarks>Two host blocks alternate, so that one can be filled while the other is still being copied. Not
/// thread-safe.</remarks>
internal sealed unsafe class StagedTensors : IDisposable
{
    private const long Alignment = 256;

    private readonly PinnedMemory[] host;
    private readonly Tensor memory;
    private readonly Tensor[] tensors;
    private readonly long[] offsets;
    private int turn;

    /// <param name="device">Device of the tensors.</param>
    /// <param name="parts">Type and number of elements of each part.</param>
    public StagedTensors(Device device, params (ScalarType Type, int Count)[] parts)
    {
        offsets = new long[parts.Length];
        var bytes = 0L;
        for (var i = 0; i < parts.Length; i++)
        {
            offsets[i] = bytes;
            bytes +=
                ((Math.Max(1L, parts[i].Count) * parts[i].Type.ElementSize()) + Alignment - 1) / Alignment * Alignment;
        }

        memory = zeros(bytes, ScalarType.Byte, device).DetachFromDisposeScope();
        host = [new PinnedMemory(device, bytes), new PinnedMemory(device, bytes)];
        tensors = new Tensor[parts.Length];
        var start = TensorAddress.Of(memory);
        for (var i = 0; i < parts.Length; i++)
        {
            long size = parts[i].Count,
                stride = 1;
            nint handle;
            AtenShim.Check(
                AtenShim.TensorFromBlob(
                    (void*)(start + (nint)offsets[i]),
                    1,
                    &size,
                    &stride,
                    0,
                    (int)parts[i].Type,
                    (int)device.type,
                    device.index,
                    &handle
                ),
                "make a tensor of given memory"
            );
            tensors[i] = Tensor.UnsafeCreateTensor(handle).DetachFromDisposeScope();
        }
    }

    /// <summary>The tensor of a part, [count], on the device. Owned by this object.</summary>
    public Tensor this[int part] => tensors[part];

    /// <summary>Starts filling: waits until the next host block has been copied.</summary>
    public void Begin()
    {
        turn = 1 - turn;
        host[turn].Wait();
    }

    /// <summary>The host values of a part, to be written between <see cref="Begin"/> and <see cref="Send"/>; all must
    /// be written, because they contain old values.</summary>
    public Span<T> Host<T>(int part)
        where T : unmanaged => host[turn].At<T>(offsets[part], (int)tensors[part].numel());

    /// <summary>Queues the copy of all parts on the current stream.</summary>
    public void Send() => host[turn].CopyTo(memory, 0, host[turn].Bytes);

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var tensor in tensors)
        {
            tensor.Dispose();
        }

        memory.Dispose();
        foreach (var block in host)
        {
            block.Dispose();
        }
    }
}
