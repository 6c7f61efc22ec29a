using System.Diagnostics;
using GlmTune.Kernels.Native;
using GlmTune.Model;
using GlmTune.Weights;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Benchmarking;

/// <summary>Timings of loading a model.</summary>
/// <param name="Gigabytes">Size of the weights, in units of 10⁹ bytes.</param>
/// <param name="ReadSeconds">Time to read the files into memory with as many threads, without using the bytes.</param>
/// <param name="ConstructSeconds">Time to construct the model without weights.</param>
/// <param name="LoadSeconds">Total time from folder to weights on the device.</param>
/// <param name="Device">The device.</param>
/// <param name="Readers">Number of reader threads.</param>
/// <remarks>The files are read once before the clock starts, so they come from the operating system's cache as far as
/// memory allows.</remarks>
internal sealed record LoadBenchmarkResult(
    double Gigabytes,
    double ReadSeconds,
    double ConstructSeconds,
    double LoadSeconds,
    string Device,
    int Readers
)
{
    /// <summary>Loading speed, in 10⁹ bytes per second.</summary>
    public double LoadSpeed => Gigabytes / LoadSeconds;

    /// <summary>Speed of reading the files alone, in 10⁹ bytes per second.</summary>
    public double ReadSpeed => Gigabytes / ReadSeconds;
}

/// <summary>Times loading a model folder.</summary>
internal static class LoadBenchmark
{
    /// <summary>Runs the benchmark.</summary>
    /// <param name="folder">A model folder.</param>
    /// <exception cref="InvalidDataException">The folder does not hold a valid model.</exception>
    public static LoadBenchmarkResult Run(string folder)
    {
        NativeRuntime.Load();
        var device = NativeRuntime.DefaultDevice();
        var type = device.type == DeviceType.CUDA ? ScalarType.BFloat16 : ScalarType.Float32;
        using var warm = zeros(1, type, device);
        long bytes;
        using (var files = WeightFiles.Open(folder))
        {
            bytes = files.Tensors.Sum(tensor => tensor.ByteCount);
            Read(files);
        }

        var watch = Stopwatch.StartNew();
        using (var files = WeightFiles.Open(folder))
        {
            Read(files);
        }

        var read = watch.Elapsed;
        watch.Restart();
        using (ModelConfig.Read(folder).NewModel(type, device)) { }

        var construct = watch.Elapsed;
        watch.Restart();
        using var model = ModelFolder.Load(folder, type, device);
        if (device.type == DeviceType.CUDA)
        {
            cuda.synchronize(device);
        }

        return new LoadBenchmarkResult(
            bytes / 1e9,
            read.TotalSeconds,
            construct.TotalSeconds,
            watch.Elapsed.TotalSeconds,
            device.ToString(),
            WeightTransfer.Readers
        );
    }

    private static void Read(WeightFiles files)
    {
        const int Piece = 16 << 20;
        var pieces = files.Tensors.SelectMany(tensor =>
            Enumerable
                .Range(0, (int)((tensor.ByteCount + Piece - 1) / Piece))
                .Select(i => (tensor, From: (long)i * Piece))
        );
        Parallel.ForEach(
            pieces,
            new ParallelOptions { MaxDegreeOfParallelism = WeightTransfer.Readers },
            () => new byte[Piece],
            (piece, _, buffer) =>
            {
                piece.tensor.CopyTo(
                    buffer.AsSpan(0, (int)Math.Min(Piece, piece.tensor.ByteCount - piece.From)),
                    piece.From
                );
                return buffer;
            },
            _ => { }
        );
    }
}
