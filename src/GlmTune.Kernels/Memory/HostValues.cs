using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Memory;

/// <summary>Copies numbers from the host to tensors on a device without waiting: from memory that the GPU reads by
/// itself, in stream order.</summary>
public static class HostValues
{
    private const int Blocks = 8;
    private const int BlockBytes = 1 << 20;

    // A queued copy occupies its block until it runs; eight blocks are enough for the few inputs of a pass.
    [ThreadStatic]
    private static Dictionary<int, PinnedMemory?[]>? rings;

    [ThreadStatic]
    private static int turn;

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
        var block = Next(device);
        block.Wait();
        values.CopyTo(block.At<T>(0, values.Length));
        block.CopyTo(result, 0, bytes);
        return result;
    }

    private static PinnedMemory Next(Device device)
    {
        rings ??= [];
        if (!rings.TryGetValue(device.index, out var ring))
        {
            ring = rings[device.index] = new PinnedMemory?[Blocks];
        }

        turn = (turn + 1) % Blocks;
        return ring[turn] ??= new PinnedMemory(device, BlockBytes);
    }
}
