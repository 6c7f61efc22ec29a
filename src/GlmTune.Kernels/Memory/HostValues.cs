using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Memory;

/// <summary>Copies numbers from the host to tensors on a device without waiting: from memory that the GPU reads by
/// itself, in stream order.</summary>
internal static class HostValues
{
    private const int BlockBytes = 1 << 20;

    // A queued copy occupies its block until it runs; a pass has a few inputs, and a few passes are queued.
    private const int BlocksPerGpu = 16;

    private static readonly ConcurrentDictionary<int, BlockPool<PinnedMemory>> Pools = new();

    /// <summary>A tensor [count] of type int64, int32, float64 or float32, like the values; in the caller's dispose
    /// scope.</summary>
    /// <param name="values">The numbers.</param>
    /// <param name="device">Device of the tensor.</param>
    public static Tensor ToDevice<T>(T[] values, Device device)
        where T : unmanaged
    {
        var type = values switch
        {
            long[] => ScalarType.Int64,
            int[] => ScalarType.Int32,
            double[] => ScalarType.Float64,
            float[] => ScalarType.Float32,
            _ => throw new ArgumentException($"{typeof(T)} is not a supported number type.", nameof(values)),
        };
        var bytes = (long)values.Length * Unsafe.SizeOf<T>();
        if (device.type != DeviceType.CUDA || bytes > BlockBytes || values.Length == 0)
        {
            using var host = empty(values.Length, type, CPU);
            values.CopyTo(MemoryMarshal.Cast<byte, T>(host.bytes));
            return device.type == DeviceType.CPU ? host.alias() : host.to(device);
        }

        var result = empty(values.Length, type, device);
        var pool = Pools.GetOrAdd(
            Math.Max(0, device.index),
            _ =>
                new(
                    () => new PinnedMemory(device, BlockBytes),
                    block => block.IsIdle,
                    block => block.Wait(),
                    BlocksPerGpu
                )
        );
        var block = pool.Rent();
        try
        {
            values.CopyTo(block.At<T>(0, values.Length));
            block.CopyTo(result, 0, bytes);
        }
        finally
        {
            pool.Return(block);
        }

        return result;
    }
}
