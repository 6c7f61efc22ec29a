using System.Diagnostics;
using GlmTune.Data.Batching;
using GlmTune.Kernels;
using GlmTune.Kernels.Native;
using GlmTune.Model.Adapters;
using GlmTune.Model.Glm4;
using GlmTune.Training;
using GlmTune.Training.Optimization;
using GlmTune.Training.Sharding;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Recipes;

/// <summary>What a training benchmark runs; the defaults are the project's first figure.</summary>
public sealed record TrainBenchmarkOptions
{
    /// <summary>Sequences of a micro-batch, back to back without padding.</summary>
    public int Rows { get; init; } = 8;

    /// <summary>Tokens of a sequence; every one but the first is supervised.</summary>
    public int Tokens { get; init; } = 1024;

    /// <summary>Rank of the adapter on query, key and value; 0: all weights are trained.</summary>
    public int LoraRank { get; init; } = 8;

    /// <summary>Virtual tokens of a prefix instead of LoRA; 0: none.</summary>
    public int VirtualTokens { get; init; }

    /// <summary>Dropout before the adapter.</summary>
    public double Dropout { get; init; } = 0.1;

    /// <summary>Decoder layers; null: as many as the model has.</summary>
    public int? Layers { get; init; }

    /// <summary>Layers to recompute; null: as few as fit.</summary>
    public int? Recompute { get; init; }

    /// <summary>Timed steps.</summary>
    public int Steps { get; init; } = 10;

    /// <summary>Steps before the clock starts.</summary>
    public int Warmup { get; init; } = 3;

    /// <summary>Plain operators only, no fused kernels.</summary>
    public bool Plain { get; init; }
}

/// <summary>What a training benchmark found.</summary>
/// <param name="Kernels">Which layer functions ran.</param>
/// <param name="RecomputedLayers">Layers that were recomputed.</param>
/// <param name="StepSeconds">Median time of a step.</param>
/// <param name="TokensPerSecond">Tokens fed, by the median.</param>
/// <param name="Teraflops">Counted without recomputation: forward, input gradients, and weight gradients where weights are trained.</param>
/// <param name="MatmulTeraflops">A bf16 product of 8192³ on the same device in the same run.</param>
/// <param name="MemoryMiB">Device memory in use after the steps, of the whole device.</param>
/// <param name="Losses">Of the timed steps.</param>
public sealed record TrainBenchmarkResult(
    string Kernels, int RecomputedLayers, double StepSeconds, double TokensPerSecond, double Teraflops, double MatmulTeraflops, double MemoryMiB,
    IReadOnlyList<double> Losses);

/// <summary>Times training steps on random weights of the 9B shape.</summary>
public static class TrainBenchmark
{
    /// <summary>Runs it.</summary>
    public static TrainBenchmarkResult Run(TrainBenchmarkOptions options)
    {
        NativeRuntime.Load();
        var device = NativeRuntime.DefaultDevice();
        var config = Glm4Config.Glm4_9B with { LayerCount = options.Layers ?? Glm4Config.Glm4_9B.LayerCount };
        using var model = new Glm4Model(config, ScalarType.BFloat16, device, options.Plain);
        model.InitializeRandomly(1);
        using var adapter = Attach(model, options);
        using var sharding = new ReplicatedWeights(model.Units);
        var tokens = options.Rows * options.Tokens;
        var recomputed = options.Recompute ?? RecomputePlan.LayersFor(model, tokens);
        var trainer = new Trainer(
            new LayerRunner(model, sharding, recomputed), sharding, new OptimizerOptions { LearningRate = 5e-4 },
            new LearningRateSchedule(5e-4, new ScheduleOptions(), 1000), seed: 1);
        var random = new Random(7);
        var times = new List<double>();
        var losses = new List<double>();
        for (var step = 0; step < options.Warmup + options.Steps; step++)
        {
            var batch = Batch(random, options, config.VocabularySize);
            var watch = Stopwatch.StartNew();
            var report = trainer.Step(batch);
            Synchronize(device);
            if (step >= options.Warmup)
            {
                times.Add(watch.Elapsed.TotalSeconds);
                losses.Add(report.Loss);
            }
        }
        var median = times.Order().ElementAt(times.Count / 2);
        var memory = DeviceMemory.Of(device) is { } found ? (found.Total - found.Free) / 1048576.0 : 0;
        return new TrainBenchmarkResult(
            model.Kernels.GetType().Name, recomputed, median, tokens / median, Flops(config, options) / median / 1e12, Matmul(device), memory, losses);
    }

    private static IAdapter? Attach(Glm4Model model, TrainBenchmarkOptions options)
    {
        if (options.VirtualTokens > 0)
        {
            var prefix = PrefixTuning.Attach(model, new PrefixTuningOptions { VirtualTokens = options.VirtualTokens, Initialization = PrefixInitialization.Normal });
            prefix.Initialize(1);
            return prefix;
        }
        if (options.LoraRank > 0)
        {
            var lora = Lora.Attach(model, new LoraOptions { Rank = options.LoraRank, Alpha = 32, Dropout = options.Dropout });
            lora.Initialize(1);
            return lora;
        }
        foreach (var parameter in model.BaseParameters)
        {
            parameter.Trainable = true;
        }
        return null;
    }

    private static StepBatches Batch(Random random, TrainBenchmarkOptions options, int vocabulary)
    {
        var count = options.Rows * options.Tokens;
        int[] ids = [.. Enumerable.Range(0, count).Select(_ => random.Next(vocabulary))];
        var batch = new MicroBatch
        {
            Rows = 1,
            Length = count,
            TokenIds = ids,
            Labels = [.. ids.Select((id, i) => i % options.Tokens == 0 ? MicroBatch.Ignored : id)],
            Positions = [.. Enumerable.Range(0, count).Select(i => i % options.Tokens)],
            Padding = [0],
            SequenceStarts = [.. Enumerable.Range(0, options.Rows + 1).Select(row => row * options.Tokens)],
            SupervisedTokens = count - options.Rows,
            Examples = [.. Enumerable.Range(0, options.Rows)],
        };
        return new StepBatches([batch], batch.SupervisedTokens, options.Rows, default, 0);
    }

    private static double Flops(Glm4Config config, TrainBenchmarkOptions options)
    {
        var tokens = (double)options.Rows * options.Tokens;
        var matrices = (config.LayerCount * (double)config.ParametersPerLayer) + ((double)config.VocabularySize * config.HiddenSize);
        var attention = config.LayerCount * 2.0 * config.Heads.QueryWidth * options.Tokens;
        var passes = options.LoraRank > 0 || options.VirtualTokens > 0 ? 2 : 3;
        return tokens * ((2 * matrices * passes) + (attention * 3.5));
    }

    private static double Matmul(Device device)
    {
        if (device.type != DeviceType.CUDA)
        {
            return 0;
        }
        using var scope = NewDisposeScope();
        const int Size = 8192;
        var (a, b) = (randn(Size, Size, ScalarType.BFloat16, device), randn(Size, Size, ScalarType.BFloat16, device));
        var watch = new Stopwatch();
        for (var i = 0; i < 13; i++)
        {
            if (i == 3)
            {
                Synchronize(device);
                watch.Start();
            }
            a.matmul(b).Dispose();
        }
        Synchronize(device);
        return 10 * 2.0 * Size * Size * Size / watch.Elapsed.TotalSeconds / 1e12;
    }

    private static void Synchronize(Device device)
    {
        if (device.type == DeviceType.CUDA)
        {
            cuda.synchronize(device);
        }
    }
}
