using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Memory;

/// <summary>Numbers of the host as tensors of a device, sent without waiting: from memory that the GPU copies by
/// itself, in the stream's order.</summary>
public static class HostValues
{
    private const int Blocks = 8;
    private const int BlockBytes = 1 << 20;

    // A copy that waits for its turn in the stream keeps its block; eight are enough for a pass's few inputs to be on
    // their way.
    [ThreadStatic]
    private static Dictionary<int, PinnedMemory?[]>? rings;

    [ThreadStatic]
    private static int turn;

    /// <summary>int64 or int32 or float64 or float32 [count], as the values are; in the caller's dispose
    /// scope.</summary>
    /// <param name="values">The numbers.</param>
    /// <param name="device">Where the tensor goes.</param>
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
