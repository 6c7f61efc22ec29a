using System.Collections.Concurrent;
using System.Diagnostics;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Kernels;

/// <summary>The speed of a bfloat16 matrix product on a GPU: what a step's speed is compared with.</summary>
internal static class MatmulSpeed
{
    private const int Size = 8192;
    private const int Warmup = 3;
    private const int Rounds = 10;

    private static readonly ConcurrentDictionary<int, double> Measured = new();

    /// <summary>TFLOP/s of a product of 8192³, measured once per GPU and process (about 30 ms, 400 MB); 0 on the
    /// CPU.</summary>
    public static double Of(Device device) =>
        device.type == DeviceType.CUDA ? Measured.GetOrAdd(Math.Max(0, device.index), _ => Measure(device)) : 0;

    private static double Measure(Device device)
    {
        using var scope = NewDisposeScope();
        var (a, b) = (randn(Size, Size, ScalarType.BFloat16, device), randn(Size, Size, ScalarType.BFloat16, device));
        var watch = new Stopwatch();
        for (var i = 0; i < Warmup + Rounds; i++)
        {
            if (i == Warmup)
            {
                cuda.synchronize(device);
                watch.Start();
            }

            a.mm(b).Dispose();
        }

        cuda.synchronize(device);
        return Rounds * 2.0 * Size * Size * Size / watch.Elapsed.TotalSeconds / 1e12;
    }
}
