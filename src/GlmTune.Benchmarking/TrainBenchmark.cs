using System.Diagnostics;
using GlmTune.Collectives;
using GlmTune.Data.Batching;
using GlmTune.Kernels.Cuda;
using GlmTune.Kernels.Memory;
using GlmTune.Kernels.Native;
using GlmTune.Model;
using GlmTune.Model.Adapters;
using GlmTune.Model.Layers;
using GlmTune.Recipes.Models;
using GlmTune.Recipes.Training;
using GlmTune.Training;
using GlmTune.Training.Optimization;
using GlmTune.Training.Sharding;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Benchmarking;

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

    /// <summary>Further layers of which cheap parts alone are recomputed; null: as many as it takes.</summary>
    public int? RecomputeCheaply { get; init; }

    /// <summary>Whether the frozen weights of the decoder layers are held and multiplied in fp8.</summary>
    public bool Fp8 { get; init; }

    /// <summary>Whether the embedding's table lies in the host's memory.</summary>
    public bool EmbeddingOnHost { get; init; }

    /// <summary>Tokens whose logits exist at a time; null: the standard, or few where every layer is
    /// recomputed.</summary>
    public int? HeadRows { get; init; }

    /// <summary>Timed steps.</summary>
    public int Steps { get; init; } = 10;

    /// <summary>Steps before the clock starts.</summary>
    public int Warmup { get; init; } = 3;

    /// <summary>Whether to list the GPU's kernels of one further step.</summary>
    public bool Profile { get; init; }

    /// <summary>Plain operators only, no fused kernels.</summary>
    public bool Plain { get; init; }

    /// <summary>Whether small steps may be recorded as CUDA graphs.</summary>
    public bool Graphs { get; init; } = true;

    /// <summary>Rows with the lengths of a known data set instead of <see cref="Tokens"/> each.</summary>
    public BenchmarkLengths Lengths { get; init; }

    /// <summary>With <see cref="Lengths"/>: whether rows are packed into micro-batches of <see cref="Rows"/> ×
    /// <see cref="Tokens"/> tokens.</summary>
    public bool Packing { get; init; } = true;

    /// <summary>Different steps, which come again and again, so that there is something to learn; 0: every step is
    /// new.</summary>
    public int DistinctSteps { get; init; }

    /// <summary>Micro-batches of a step on each rank.</summary>
    public int AccumulationSteps { get; init; } = 1;

    /// <summary>How the ranks share the model.</summary>
    public ShardingOptions Sharding { get; init; } = new();

    /// <summary>The architecture, of which <see cref="Layers"/> are taken. The 9B model's unless set.</summary>
    public ModelConfig Config { get; init; } = ModelFamilies.Shape(InitializeModel.PublishedShape);
}

/// <summary>How long the rows of a benchmark are.</summary>
public enum BenchmarkLengths
{
    /// <summary>All alike, every token supervised.</summary>
    Equal,

    /// <summary>As AdvertiseGen's, answers supervised.</summary>
    AdvertiseGen,
}

/// <summary>What a training benchmark found.</summary>
/// <param name="Kernels">Which layer functions ran.</param>
/// <param name="Recomputed">What was recomputed.</param>
/// <param name="Graphs">CUDA graphs that small steps were recorded as.</param>
/// <param name="StepSeconds">Median time of a step.</param>
/// <param name="TokensPerSecond">Tokens fed, over the time of all steps.</param>
/// <param name="SupervisedTokensPerSecond">Of these, the supervised ones.</param>
/// <param name="SamplesPerSecond">Rows of the data.</param>
/// <param name="PackingEfficiency">Tokens over the room of the micro-batches: padding and what packing leaves empty are
/// the rest.</param>
/// <param name="Teraflops">Counted without recomputation: forward, input gradients, and weight gradients where weights
/// are trained.</param>
/// <param name="MatmulTeraflops">A bf16 product of 8192³ on the same device in the same run.</param>
/// <param name="MemoryMiB">Most device memory in use, of the whole device.</param>
/// <param name="Losses">Of the timed steps.</param>
public sealed record TrainBenchmarkResult(
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
    /// <summary>Why recording was given up, if it was.</summary>
    public string? GraphRefusal { get; init; }

    /// <summary>GPUs that shared each step; speed and memory are of one of them.</summary>
    public int Ranks { get; init; } = 1;

    /// <summary>What went between the ranks; null: nothing was to.</summary>
    public ShardingBenchmarkResult? Sharding { get; init; }

    /// <summary>Device memory in use before there was a model: other programs', and CUDA's own.</summary>
    public double ContextMiB { get; init; }

    /// <summary>Device memory in use once the model's weights were there.</summary>
    public double WeightsMiB { get; init; }

    /// <summary>The GPU's kernels in one further step, longest first; null where not asked for.</summary>
    public IReadOnlyList<KernelTime>? Profile { get; init; }
}

/// <summary>What sharing a model cost one rank.</summary>
/// <param name="Stage">ZeRO's stage.</param>
/// <param name="Parameters">Of the model.</param>
/// <param name="GradientNorm">Of the last step.</param>
/// <param name="BytesSentPerStep">By this rank.</param>
/// <param name="CommunicationSeconds">Time that a step's messages were under way.</param>
/// <param name="Overlap">Part of that beside computation, from 0 to 1.</param>
/// <param name="HostUpdateSeconds">A step's arithmetic of an optimizer on the host; 0: it is on the device.</param>
/// <param name="ModelFlopsUtilisation">Of an H100's 989 TFLOP/s in bfloat16, from 0 to 1.</param>
public sealed record ShardingBenchmarkResult(
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
public static class TrainBenchmark
{
    private const double PeakTeraflops = 989;

    /// <summary>Runs it; every rank calls it.</summary>
    /// <param name="options">What.</param>
    /// <param name="ranks">The ranks; null: alone.</param>
    public static TrainBenchmarkResult Run(TrainBenchmarkOptions options, ICollectives? ranks = null) =>
        RankResources.Use(ranks, owned => Run(options, ranks, owned));

    private static TrainBenchmarkResult Run(TrainBenchmarkOptions options, ICollectives? ranks, RankResources owned)
    {
        NativeRuntime.Load();
        var device = ranks?.Device ?? NativeRuntime.DefaultDevice();
        var type = device.type == DeviceType.CUDA ? ScalarType.BFloat16 : ScalarType.Float32;
        var config = options.Config with { LayerCount = options.Layers ?? options.Config.LayerCount };
        var rate = options.LoraRank > 0 || options.VirtualTokens > 0 ? 5e-4 : 1e-5;
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
                    FrozenBase.Place(unit, new TrainingOptions { OffloadEmbedding = options.EmbeddingOnHost });
                }
                else
                {
                    slices.Take(unit);
                }
            },
            options.Fp8
        );
        var weights = UsedMiB(device);
        var adapter = Attach(model, options);
        if (adapter is not null)
        {
            owned.Own(adapter);
        }

        var sharding = owned.Own(DataParallel.For(options.Sharding, model, ranks, slices));
        var recomputed =
            options.Recompute is null && options.RecomputeCheaply is null
                ? RecomputePlan.For(model, options.Rows * options.Tokens, sharding.PassingBytes)
                : new RecomputePlan(options.Recompute ?? 0, options.RecomputeCheaply ?? 0);
        model.Head.ChunkRows =
            options.HeadRows
            ?? (recomputed.Whole == model.Layers.Count ? OutputHead.FewChunkRows : model.Head.ChunkRows);
        var trainer = owned.Own(
            new Trainer(
                new LayerRunner(model, sharding, recomputed.Whole) { SelectivelyRecomputed = recomputed.CheapParts },
                sharding,
                new OptimizerOptions { LearningRate = rate },
                new LearningRateSchedule(rate, new ScheduleOptions(), 1000),
                seed: 1,
                ranks?.Rank ?? 0
            )
            {
                RecordsSmallSteps = options.Graphs,
            }
        );
        var batches = Batches(options, config.VocabularySize, ranks?.Rank ?? 0, ranks?.WorldSize ?? 1);
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
                norm = report.GradientNorm;
            }
        }

        var seconds = times.Sum();
        var traffic = Settled(ranks) - sent;
        var micro = steps.SelectMany(step => step.MicroBatches).ToList();
        var room = micro.Sum(batch => (double)Room(options, batch));
        var tokens = micro.Sum(batch => (double)batch.TokenIds.Length);
        var memory = peak.Bytes / 1048576.0;
        var supervised = micro.Sum(batch => (double)batch.SupervisedTokens);
        var teraflops = micro.Sum(batch => Flops(config, options, batch)) / seconds / 1e12;
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
            trainer.Recorder?.Count ?? 0,
            times.Order().ElementAt(times.Count / 2),
            tokens / seconds,
            supervised / seconds,
            micro.Sum(batch => (double)batch.Examples.Length) / seconds,
            tokens / room,
            teraflops,
            Matmul(device),
            memory,
            losses
        )
        {
            GraphRefusal = trainer.Recorder?.Refusal,
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
            ContextMiB = context,
            WeightsMiB = weights,
            Profile = profile,
        };
    }

    /// <summary>Runs the same steps twice, and gives both results with the largest difference between the losses of a
    /// step.</summary>
    /// <param name="options">The first run.</param>
    /// <param name="other">The second.</param>
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
        // The driver answers where libtorch has opened the device.
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
            var lora = Lora.Attach(
                model,
                new LoraOptions
                {
                    Rank = options.LoraRank,
                    Alpha = 32,
                    Dropout = options.Dropout,
                }
            );
            lora.Initialize(1);
            return lora;
        }

        foreach (var parameter in model.BaseParameters)
        {
            parameter.Trainable = true;
        }

        return null;
    }

    // All that the run will need, so that making them is not timed; or as many as come again.
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

    // The micro-batches of a step are numbered over all ranks, so that as many in all are the same data on any number
    // of ranks.
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

    // GPUs of different kinds may draw different numbers from one seed; ranks that train together need equal weights.
    private static void MakeEqual(Layer unit, ICollectives? ranks)
    {
        if (ranks is not { WorldSize: > 1 })
        {
            return;
        }

        foreach (var parameter in unit.Parameters.Where(parameter => parameter.Rounded is null))
        {
            ranks.Broadcast(parameter.Value, root: 0).Wait();
        }
    }

    // A GPU's counts follow its calls within the watchdog's period.
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

    // Tokens that the micro-batch has room for, were it padded to its longest row or packed up to the limit.
    private static int Room(TrainBenchmarkOptions options, MicroBatch batch)
    {
        var (starts, limit) = (batch.SequenceStarts, options.Rows * options.Tokens);
        var longest = starts.Zip(starts.Skip(1), (from, to) => to - from).Max();
        return Math.Max(options.Packing ? batch.TokenIds.Length : (starts.Length - 1) * longest, limit);
    }

    private static double Flops(ModelConfig config, TrainBenchmarkOptions options, MicroBatch batch)
    {
        var starts = batch.SequenceStarts;
        var squares = starts.Zip(starts.Skip(1), (from, to) => (double)(to - from) * (to - from)).Sum();
        var passes = options.LoraRank > 0 || options.VirtualTokens > 0 ? 2 : 3;
        var layers = batch.TokenIds.Length * config.LayerCount * (double)config.ParametersPerLayer;
        var head = batch.SupervisedTokens * (double)config.VocabularySize * config.HiddenSize;
        return (2 * passes * (layers + head)) + (3.5 * squares * config.LayerCount * 2.0 * config.Heads.QueryWidth);
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

            a.mm(b).Dispose();
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
