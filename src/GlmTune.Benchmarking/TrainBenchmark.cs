using System.Diagnostics;
using GlmTune.Collectives;
using GlmTune.Data.Batching;
using GlmTune.Kernels;
using GlmTune.Kernels.Cuda;
using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Memory;
using GlmTune.Kernels.Native;
using GlmTune.Model;
using GlmTune.Model.Adapters;
using GlmTune.Model.Layers;
using GlmTune.Recipes.Models;
using GlmTune.Recipes.Planning;
using GlmTune.Recipes.Training;
using GlmTune.Training;
using GlmTune.Training.Optimization;
using GlmTune.Training.Sharding;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Benchmarking;

/// <summary>Settings of a training benchmark; the defaults are those of the project's first published figure.</summary>
internal sealed record TrainBenchmarkOptions
{
    /// <summary>Sequences per micro-batch, without padding.</summary>
    public int Rows { get; init; } = 8;

    /// <summary>Tokens per sequence; all but the first are supervised.</summary>
    public int Tokens { get; init; } = 1024;

    /// <summary>LoRA rank on query, key and value; 0: all weights are trained.</summary>
    public int LoraRank { get; init; } = 8;

    /// <summary>Modules that LoRA adapts; null: query, key and value.</summary>
    public LoraTargets? LoraTargets { get; init; }

    /// <summary>Virtual tokens of a prefix, instead of LoRA; 0: none.</summary>
    public int VirtualTokens { get; init; }

    /// <summary>Dropout of the adapter's input.</summary>
    public double Dropout { get; init; } = 0.1;

    /// <summary>Number of decoder layers; null: all layers of the model.</summary>
    public int? Layers { get; init; }

    /// <summary>Number of layers to recompute; null: as few as memory allows.</summary>
    public int? Recompute { get; init; }

    /// <summary>Number of further layers of which only the cheap parts are recomputed; null: as many as
    /// needed.</summary>
    public int? RecomputeSelectively { get; init; }

    /// <summary>How the frozen weights of the decoder layers are stored; null: as the others.</summary>
    public FrozenType? Frozen { get; init; }

    /// <summary>Whether the embedding table is kept in host memory.</summary>
    public bool EmbeddingOnHost { get; init; }

    /// <summary>Whether the inputs of the layers, all of which are then recomputed, are kept in host memory.</summary>
    public bool InputsOnHost { get; init; }

    /// <summary>Number of tokens whose logits exist at a time; null: the default, or few if every layer is
    /// recomputed.</summary>
    public int? HeadRows { get; init; }

    /// <summary>Number of timed steps.</summary>
    public int Steps { get; init; } = 10;

    /// <summary>Number of steps before the clock starts.</summary>
    public int Warmup { get; init; } = 3;

    /// <summary>Whether to list the GPU kernels of one further step.</summary>
    public bool Profile { get; init; }

    /// <summary>Use plain operators only, without fused kernels.</summary>
    public bool Plain { get; init; }

    /// <summary>Whether small steps may be captured as CUDA graphs.</summary>
    public bool Graphs { get; init; } = true;

    /// <summary>Row lengths; either <see cref="Tokens"/> each, or those of a known data set.</summary>
    public BenchmarkLengths Lengths { get; init; }

    /// <summary>With <see cref="Lengths"/>: whether rows are packed into micro-batches of <see cref="Rows"/> ×
    /// <see cref="Tokens"/> tokens.</summary>
    public bool Packing { get; init; } = true;

    /// <summary>Number of different steps, which are repeated so that there is something to learn; 0: every step is
    /// new.</summary>
    public int DistinctSteps { get; init; }

    /// <summary>Micro-batches per step on each rank.</summary>
    public int AccumulationSteps { get; init; } = 1;

    /// <summary>How the ranks share the model.</summary>
    public ShardingOptions Sharding { get; init; } = new();

    /// <summary>The architecture, of which <see cref="Layers"/> are used. Default: that of the 9B model.</summary>
    public ModelConfig Config { get; init; } = ModelFamilies.Shape(InitializeModel.PublishedShape);
}

/// <summary>Row lengths of a benchmark.</summary>
internal enum BenchmarkLengths
{
    /// <summary>All equal, with every token supervised.</summary>
    Equal,

    /// <summary>Those of AdvertiseGen, with the answers supervised.</summary>
    AdvertiseGen,
}

/// <summary>Results of a training benchmark.</summary>
/// <param name="Kernels">Kernel implementation that ran.</param>
/// <param name="Recomputed">What was recomputed.</param>
/// <param name="Graphs">CUDA graphs captured for small steps.</param>
/// <param name="StepSeconds">Median time per step.</param>
/// <param name="TokensPerSecond">Tokens processed, divided by the time of all steps.</param>
/// <param name="SupervisedTokensPerSecond">Supervised tokens among these, per second.</param>
/// <param name="SamplesPerSecond">Rows per second.</param>
/// <param name="PackingEfficiency">Tokens divided by the capacity of the micro-batches; the rest is padding and unused
/// space.</param>
/// <param name="Teraflops">TFLOP/s without counting recomputation: forward, input gradients, and weight gradients of
/// trained weights.</param>
/// <param name="MatmulTeraflops">TFLOP/s of a bf16 product of 8192³ on the same device in the same run.</param>
/// <param name="MemoryMiB">Peak memory in use on the whole device.</param>
/// <param name="Losses">Losses of the timed steps.</param>
internal sealed record TrainBenchmarkResult(
    string Kernels,
    RecomputePlan Recomputed,
    int Graphs,
    double StepSeconds,
    double TokensPerSecond,
    double SupervisedTokensPerSecond,
    double SamplesPerSecond,
    double PackingEfficiency,
    double Teraflops,
    double MatmulTeraflops,
    double MemoryMiB,
    IReadOnlyList<double> Losses
)
{
    /// <summary>Why CUDA graph capture was given up, if it was.</summary>
    public string? GraphRefusal { get; init; }

    /// <summary>Fused kernels and libraries that were not used for some inputs, each with the reason.</summary>
    public IReadOnlyList<string> Fallbacks { get; init; } = [];

    /// <summary>Number of GPUs that shared each step; speed and memory are for one of them.</summary>
    public int Ranks { get; init; } = 1;

    /// <summary>Communication between the ranks; null if there was none.</summary>
    public ShardingBenchmarkResult? Sharding { get; init; }

    /// <summary>Device memory in use before the model was created: by other programs and by CUDA.</summary>
    public double ContextMiB { get; init; }

    /// <summary>What the device's memory holds after the last step.</summary>
    public MemoryUse? Memory { get; init; }

    /// <summary>Device memory in use after the model's weights were created.</summary>
    public double WeightsMiB { get; init; }

    /// <summary>GPU kernels of one further step, longest first; null if not requested.</summary>
    public IReadOnlyList<KernelTime>? Profile { get; init; }
}

/// <summary>The cost of sharing a model, for one rank.</summary>
/// <param name="Stage">ZeRO stage.</param>
/// <param name="Parameters">Number of model parameters.</param>
/// <param name="GradientNorm">Gradient norm of the last step.</param>
/// <param name="BytesSentPerStep">Bytes sent by this rank per step.</param>
/// <param name="CommunicationSeconds">Communication time per step.</param>
/// <param name="Overlap">Fraction of it that overlaps computation, 0 to 1.</param>
/// <param name="HostUpdateSeconds">Time per step of the optimizer's arithmetic on the host; 0 if it runs on the
/// device.</param>
/// <param name="ModelFlopsUtilisation">Fraction of an H100's 989 TFLOP/s in bfloat16, 0 to 1.</param>
internal sealed record ShardingBenchmarkResult(
    int Stage,
    long Parameters,
    double GradientNorm,
    long BytesSentPerStep,
    double CommunicationSeconds,
    double Overlap,
    double HostUpdateSeconds,
    double ModelFlopsUtilisation
);

/// <summary>Times training steps on random weights of the 9B shape.</summary>
internal static class TrainBenchmark
{
    private const double PeakTeraflops = 989;

    /// <summary>Runs the benchmark; every rank calls it.</summary>
    /// <param name="options">The settings.</param>
    /// <param name="ranks">The ranks; null: a single rank.</param>
    public static TrainBenchmarkResult Run(TrainBenchmarkOptions options, ICollectives? ranks = null) =>
        RankResources.Use(ranks, owned => RunOrAdvise(options, ranks, owned));

    private static TrainBenchmarkResult RunOrAdvise(
        TrainBenchmarkOptions options,
        ICollectives? ranks,
        RankResources owned
    )
    {
        try
        {
            return Run(options, ranks, owned);
        }
        catch (Exception error) when (AllocationFailure.Find(error) is { } failure)
        {
            var (config, type) = Shape(options, ranks?.Device ?? NativeRuntime.DefaultDevice());
            var demand = Demand(options, config, type, ranks?.WorldSize ?? 1);
            var fit = MemoryFit.Of(demand, long.MaxValue, "");
            throw new MemoryExhaustedException(failure, fit.AdviceAfterFailure(change => change.BenchOption), error);
        }
    }

    private static (ModelConfig Config, ScalarType Type) Shape(TrainBenchmarkOptions options, Device device) =>
        (
            options.Config with
            {
                LayerCount = options.Layers ?? options.Config.LayerCount,
            },
            device.type == DeviceType.CUDA ? ScalarType.BFloat16 : ScalarType.Float32
        );

    private static TrainBenchmarkResult Run(TrainBenchmarkOptions options, ICollectives? ranks, RankResources owned)
    {
        NativeRuntime.Load();
        var device = ranks?.Device ?? NativeRuntime.DefaultDevice();
        var (config, type) = Shape(options, device);
        var rate = options.LoraRank > 0 || options.VirtualTokens > 0 ? 5e-4 : 1e-5;
        RequireMemory(options, config, type, device, ranks?.WorldSize ?? 1);
        using var peak = new PeakMemory(device);
        var model = owned.Own(config.NewModel(type, device, options.Plain));
        var context = UsedMiB(device);
        var slices =
            options.Sharding.Stage == 3 ? new WeightSlices(options.Sharding, ranks ?? new SingleRank(device)) : null;
        model.InitializeRandomly(
            1,
            unit =>
            {
                MakeEqual(unit, ranks);
                if (slices is null)
                {
                    FrozenBase.MoveToHostIfAsked(
                        unit,
                        new TrainingOptions { OffloadEmbedding = options.EmbeddingOnHost }
                    );
                }
                else
                {
                    slices.Take(unit);
                }
            },
            options.Frozen is { } frozen ? new Quantization(frozen, Backward: true) : null
        );
        var weights = UsedMiB(device);
        var adapter = Attach(model, options);
        if (adapter is not null)
        {
            owned.Own(adapter);
        }

        var sharding = owned.Own(DataParallel.For(options.Sharding, model, ranks, slices));
        var recomputed =
            options.InputsOnHost ? new RecomputePlan(config.LayerCount, 0)
            : options.Recompute is null && options.RecomputeSelectively is null
                ? RecomputePlan.For(model, options.Rows * options.Tokens, sharding.PassingBytes)
            : new RecomputePlan(options.Recompute ?? 0, options.RecomputeSelectively ?? 0);
        model.Head.ChunkRows =
            options.HeadRows
            ?? (recomputed.Whole == model.Layers.Count ? OutputHead.FewChunkRows : model.Head.ChunkRows);
        var trainer = owned.Own(
            new Trainer(
                new LayerRunner(model, sharding, recomputed.Whole)
                {
                    SelectivelyRecomputed = recomputed.Selective,
                    OffloadedInputs = options.InputsOnHost ? owned.Own(new OffloadedInputs(device)) : null,
                },
                sharding,
                new OptimizerOptions { LearningRate = rate, MaxGradientNorm = options.Sharding.UpdatesByLayer ? 0 : 1 },
                new LearningRateSchedule(rate, new ScheduleOptions(), 1000),
                seed: 1,
                ranks?.Rank ?? 0
            )
            {
                CapturesSmallSteps = options is { Graphs: true, InputsOnHost: false },
            }
        );
        var batches = Batches(options, config.VocabularySize, ranks?.Rank ?? 0, ranks?.WorldSize ?? 1);
        var held = default(MemoryUse);
        var (sent, updating, norm) = (default(TrafficCount), TimeSpan.Zero, 0.0);
        var (times, losses, steps) = (new List<double>(), new List<double>(), new List<StepBatches>());
        for (var step = 0; step < options.Warmup + options.Steps; step++)
        {
            if (step == options.Warmup)
            {
                (sent, updating) = (Settled(ranks), sharding.HostOptimizer?.Busy ?? TimeSpan.Zero);
            }

            var batch = batches[step % batches.Count];
            ranks?.Barrier();
            var watch = Stopwatch.StartNew();
            var report = trainer.Step(batch);
            Synchronize(device);
            if (step >= options.Warmup)
            {
                times.Add(watch.Elapsed.TotalSeconds);
                steps.Add(batch);
                losses.Add(report.Loss);
                (norm, held) = (report.GradientNorm, report.Memory);
            }
        }

        var seconds = times.Sum();
        var traffic = Settled(ranks) - sent;
        var micro = steps.SelectMany(step => step.MicroBatches).ToList();
        var room = micro.Sum(batch => (double)Room(options, batch));
        var tokens = micro.Sum(batch => (double)batch.TokenIds.Length);
        var memory = peak.Bytes / 1048576.0;
        var supervised = micro.Sum(batch => (double)batch.SupervisedTokens);
        var teraflops =
            micro.Sum(batch => StepFlops.Of(config, trainsWeights: options is { LoraRank: 0, VirtualTokens: 0 }, batch))
            / seconds
            / 1e12;
        var profile = options.Profile
            ? Profile(() =>
            {
                trainer.Step(batches[0]);
                Synchronize(device);
            })
            : null;
        return new TrainBenchmarkResult(
            model.Kernels.GetType().Name,
            recomputed,
            trainer.Capture?.Count ?? 0,
            times.Order().ElementAt(times.Count / 2),
            tokens / seconds,
            supervised / seconds,
            micro.Sum(batch => (double)batch.Examples.Length) / seconds,
            tokens / room,
            teraflops,
            MatmulSpeed.Of(device),
            memory,
            losses
        )
        {
            GraphRefusal = trainer.Capture?.Refusal,
            Fallbacks = model.Kernels.Fallbacks,
            Ranks = ranks?.WorldSize ?? 1,
            Sharding =
                ranks is null && !options.Sharding.OffloadOptimizer && options.Sharding.Stage == 0
                    ? null
                    : new ShardingBenchmarkResult(
                        options.Sharding.Stage,
                        model.Parameters.Sum(parameter => parameter.Count),
                        norm,
                        traffic.BytesSent / options.Steps,
                        traffic.Busy.TotalSeconds / options.Steps,
                        traffic.Overlap,
                        ((sharding.HostOptimizer?.Busy ?? TimeSpan.Zero) - updating).TotalSeconds / options.Steps,
                        teraflops / PeakTeraflops
                    ),
            Memory = held,
            ContextMiB = context,
            WeightsMiB = weights,
            Profile = profile,
        };
    }

    /// <summary>What a benchmark takes, as the planner predicts it.</summary>
    /// <param name="options">The benchmark.</param>
    /// <param name="config">The architecture with the benchmark's number of layers.</param>
    /// <param name="type">Type in which layers compute.</param>
    /// <param name="ranks">Number of ranks.</param>
    public static MemoryDemand Demand(TrainBenchmarkOptions options, ModelConfig config, ScalarType type, int ranks) =>
        new()
        {
            Config = config,
            Type = type,
            Lora = options is { LoraRank: > 0, VirtualTokens: 0 } ? LoraOf(options) : null,
            Prefix =
                options.VirtualTokens > 0 ? new PrefixTuningOptions { VirtualTokens = options.VirtualTokens } : null,
            Sharding = options.Sharding,
            Ranks = ranks,
            Tokens = (long)options.Rows * options.Tokens,
            LongestSequence = options.Tokens,
            MinTokens = options.Tokens,
            Rows = options.Rows,
            AccumulationSteps = options.AccumulationSteps,
            Recompute =
                options.InputsOnHost ? new RecomputePlan(config.LayerCount, 0)
                : options.Recompute is null && options.RecomputeSelectively is null ? null
                : new RecomputePlan(options.Recompute ?? 0, options.RecomputeSelectively ?? 0),
            Frozen = options.Frozen,
            OffloadEmbedding = options.EmbeddingOnHost,
            OffloadActivations = options.InputsOnHost,
            HeadRows = options.HeadRows,
            CudaGraphs = options.Graphs,
        };

    private static LoraOptions LoraOf(TrainBenchmarkOptions options) =>
        new()
        {
            Rank = options.LoraRank,
            Alpha = 32,
            Dropout = options.Dropout,
            TargetModules = options.LoraTargets,
        };

    private static void RequireMemory(
        TrainBenchmarkOptions options,
        ModelConfig config,
        ScalarType type,
        Device device,
        int ranks
    )
    {
        if (device.type != DeviceType.CUDA)
        {
            return;
        }

        // The driver answers once libtorch has opened the device.
        empty(1, device: device).Dispose();
        MemoryFit
            .Of(
                Demand(options, config, type, ranks),
                DeviceMemory.Of(device)!.Value.Free,
                $"{device}",
                HostMemory.Total / ranks
            )
            .Require(change => change.BenchOption);
    }

    /// <summary>Runs the same steps with two settings, and returns both results with the largest difference between the
    /// losses of a step.</summary>
    /// <param name="options">Settings of the first run.</param>
    /// <param name="other">Settings of the second run.</param>
    public static (TrainBenchmarkResult First, TrainBenchmarkResult Second, double LargestDifference) Compare(
        TrainBenchmarkOptions options,
        TrainBenchmarkOptions other
    )
    {
        var (first, second) = (Run(options), Run(other));
        return (first, second, first.Losses.Zip(second.Losses, (a, b) => Math.Abs(a - b)).Max());
    }

    private static IReadOnlyList<KernelTime> Profile(Action step) =>
        KernelProfile.Of(step, out var problem) ?? [new KernelTime(problem, 0, 0)];

    private static double UsedMiB(Device device)
    {
        if (device.type != DeviceType.CUDA)
        {
            return 0;
        }
        // The driver answers only after libtorch has opened the device.
        empty(1, device: device).Dispose();
        return DeviceMemory.Of(device) is { } found ? (found.Total - found.Free) / 1048576.0 : 0;
    }

    private static IAdapter? Attach(DecoderModel model, TrainBenchmarkOptions options)
    {
        if (options.VirtualTokens > 0)
        {
            var prefix = PrefixTuning.Attach(
                model,
                new PrefixTuningOptions
                {
                    VirtualTokens = options.VirtualTokens,
                    Initialization = PrefixInitialization.Normal,
                }
            );
            prefix.Initialize(1);
            return prefix;
        }

        if (options.LoraRank > 0)
        {
            var lora = Lora.Attach(model, LoraOf(options));
            lora.Initialize(1);
            return lora;
        }

        foreach (var parameter in model.BaseParameters)
        {
            parameter.Trainable = true;
        }

        return null;
    }

    // All steps are prepared in advance, so that making them is not timed; if steps repeat, each is prepared once.
    private static List<StepBatches> Batches(TrainBenchmarkOptions options, int vocabulary, int rank, int worldSize)
    {
        var count = options.DistinctSteps > 0 ? options.DistinctSteps : options.Warmup + options.Steps;
        if (options.Lengths == BenchmarkLengths.Equal)
        {
            return [.. Enumerable.Range(0, count).Select(step => Equal(step, options, vocabulary, rank, worldSize))];
        }

        var room = options.Rows * options.Tokens;
        var examples = SampleLengths.AdvertiseGen(
            Math.Max(4096, count * options.AccumulationSteps * worldSize * Math.Max(options.Rows, room / 100)),
            vocabulary,
            seed: 7
        );
        var batches = new TrainingBatches(
            examples,
            new BatchOptions
            {
                Seed = 7,
                RowsPerMicroBatch = options.Rows,
                PackedTokens = options.Packing ? room : null,
                AccumulationSteps = options.AccumulationSteps,
            },
            paddingId: 0,
            rank,
            worldSize
        );
        return [.. Enumerable.Range(0, count).Select(_ => batches.Next())];
    }

    // Micro-batches are numbered over all ranks, so the data of a step does not depend on the number of ranks.
    private static StepBatches Equal(int step, TrainBenchmarkOptions options, int vocabulary, int rank, int worldSize)
    {
        List<MicroBatch> mine =
        [
            .. Enumerable
                .Range(0, options.AccumulationSteps)
                .Select(i => Batch(new Random((step * 4096) + (i * worldSize) + rank), options, vocabulary)),
        ];
        return new StepBatches(
            mine,
            mine.Sum(batch => batch.SupervisedTokens) * worldSize,
            options.Rows * options.AccumulationSteps * worldSize,
            default,
            0
        );
    }

    private static MicroBatch Batch(Random random, TrainBenchmarkOptions options, int vocabulary)
    {
        var count = options.Rows * options.Tokens;
        int[] ids = [.. Enumerable.Range(0, count).Select(_ => random.Next(vocabulary))];
        return new MicroBatch
        {
            TokenIds = ids,
            Labels = [.. ids.Select((id, i) => i % options.Tokens == 0 ? MicroBatch.Ignored : id)],
            SequenceStarts = [.. Enumerable.Range(0, options.Rows + 1).Select(row => row * options.Tokens)],
            SupervisedTokens = count - options.Rows,
            Examples = [.. Enumerable.Range(0, options.Rows)],
        };
    }

    // Different GPU models may draw different numbers from one seed, but ranks that train together need equal weights.
    private static void MakeEqual(Layer unit, ICollectives? ranks)
    {
        if (ranks is not { WorldSize: > 1 })
        {
            return;
        }

        foreach (var parameter in unit.Parameters.Where(parameter => parameter.Quantized is null))
        {
            ranks.Broadcast(parameter.Value, root: 0).Wait();
        }
    }

    // A GPU's traffic counts are updated within the watchdog's polling period.
    private static TrafficCount Settled(ICollectives? ranks)
    {
        if (ranks is null)
        {
            return default;
        }

        ranks.Barrier();
        Thread.Sleep(ranks.Device.type == DeviceType.CUDA ? 200 : 0);
        return ranks.Traffic.Total;
    }

    // Capacity of the micro-batch in tokens, padded to its longest row or packed up to the limit.
    private static int Room(TrainBenchmarkOptions options, MicroBatch batch)
    {
        var (starts, limit) = (batch.SequenceStarts, options.Rows * options.Tokens);
        var longest = starts.Zip(starts.Skip(1), (from, to) => to - from).Max();
        return Math.Max(options.Packing ? batch.TokenIds.Length : (starts.Length - 1) * longest, limit);
    }

    private static void Synchronize(Device device)
    {
        if (device.type == DeviceType.CUDA)
        {
            cuda.synchronize(device);
        }
    }
}
