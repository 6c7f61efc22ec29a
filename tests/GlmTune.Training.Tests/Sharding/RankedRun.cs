using System.Collections.Concurrent;
using GlmTune.Collectives;
using GlmTune.Data.Batching;
using GlmTune.Kernels.Native;
using GlmTune.Model;
using GlmTune.Model.Adapters;
using GlmTune.Model.Glm4;
using GlmTune.Training.Optimization;
using GlmTune.Training.Sharding;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Training.Tests.Sharding;

/// <summary>A short training run of a very small model on thread ranks, and what came of it.</summary>
/// <param name="Losses">Of each step.</param>
/// <param name="Norms">Of each step.</param>
/// <param name="Weights">Final trained values by name.</param>
internal sealed record RankedRun(double[] Losses, double[] Norms, Dictionary<string, double[]> Weights)
{
    public const int Steps = 2;

    public static readonly Glm4Config Tiny = Glm4Config.Glm4_9B with
    {
        HiddenSize = 32,
        LayerCount = 2,
        FeedForwardSize = 48,
        VocabularySize = 67,
        QueryHeads = 4,
        KeyValueHeads = 2,
        HeadDim = 8,
    };

    private static readonly ConcurrentDictionary<
        (string Kind, int MicroBatches, ScalarType Type, int Empty),
        RankedRun
    > OfOne = new();

    static RankedRun() => NativeRuntime.Load();

    /// <summary>What one rank alone makes of the same micro-batches.</summary>
    public static RankedRun Alone(
        string kind,
        int microBatches,
        ScalarType type = ScalarType.Float64,
        int emptyBatches = 0
    ) =>
        OfOne.GetOrAdd(
            (kind, microBatches, type, emptyBatches),
            _ => Of(kind, 1, null, microBatches, type, emptyBatches)
        );

    /// <summary>Trains on <paramref name="microBatches"/> micro-batches a step, spread over the ranks; what rank 0
    /// saw.</summary>
    public static RankedRun Of(
        string kind,
        int worldSize,
        ShardingOptions? options,
        int microBatches,
        ScalarType type = ScalarType.Float64,
        int emptyBatches = 0
    )
    {
        var runs = InProcess.Run(
            worldSize,
            ranks =>
            {
                set_num_threads(1);
                using var model = Model(kind, type, out var adapter);
                using var owned = adapter;
                using var sharding = options is null
                    ? new ReplicatedWeights(model.Units)
                    : DataParallel.For(options, model, ranks);
                return Train(model, sharding, ranks, microBatches, emptyBatches);
            }
        );
        foreach (var run in runs)
        {
            Xunit.Assert.Equal(runs[0].Losses, run.Losses);
            Xunit.Assert.Equal(runs[0].Norms, run.Norms);
        }

        return runs[0];
    }

    public static DecoderModel Model(string kind, ScalarType type, out IAdapter? adapter, Device? device = null)
    {
        var config = kind switch
        {
            "output norms" => Tiny with { OutputNorms = true, Layout = CheckpointLayout.Library },
            "tied head" => Tiny with
            {
                TiedHead = true,
                AttentionBias = false,
                RotaryShare = 1,
                Layout = CheckpointLayout.Library,
            },
            _ => Tiny,
        };
        var model = new Glm4Model(config, type, device ?? CPU, plain: true);
        model.InitializeRandomly(3);
        adapter = kind switch
        {
            "lora" => Lora.Attach(model, new LoraOptions { Rank = 3, Dropout = 0 }),
            "prefix" => PrefixTuning.Attach(
                model,
                new PrefixTuningOptions { VirtualTokens = 4, Initialization = PrefixInitialization.Normal }
            ),
            "encoder" => PrefixTuning.Attach(
                model,
                new PrefixTuningOptions
                {
                    VirtualTokens = 4,
                    Projection = true,
                    Initialization = PrefixInitialization.Normal,
                }
            ),
            _ => null,
        };
        (adapter as Lora)?.Initialize(2);
        (adapter as PrefixTuning)?.Initialize(2);
        if (adapter is null)
        {
            foreach (var parameter in model.BaseParameters)
            {
                parameter.Trainable = true;
            }
        }

        return model;
    }

    public static RankedRun Train(
        DecoderModel model,
        ISharding sharding,
        ICollectives ranks,
        int microBatches,
        int emptyBatches = 0,
        int steps = Steps,
        Action<int>? after = null
    )
    {
        var optimizer = new OptimizerOptions
        {
            LearningRate = 1e-2,
            WeightDecay = 0.1,
            MaxGradientNorm = 0.5,
        };
        using var trainer = new Trainer(
            new LayerRunner(model, sharding, recomputed: 1),
            sharding,
            optimizer,
            new LearningRateSchedule(1e-2, new ScheduleOptions(), 10),
            seed: 1
        );
        var (losses, norms) = (new double[steps], new double[steps]);
        for (var step = 0; step < steps; step++)
        {
            var all = Enumerable
                .Range(0, microBatches)
                .Select(i => i >= microBatches - emptyBatches ? MicroBatch.Filler(0) : Batch((step * 100) + i))
                .ToList();
            var mine = all.Where((_, i) => i % ranks.WorldSize == ranks.Rank).ToList();
            var report = trainer.Step(
                new StepBatches(mine, all.Sum(batch => batch.SupervisedTokens), all.Count, default, 0)
            );
            (losses[step], norms[step]) = (report.Loss, report.GradientNorm);
            after?.Invoke(step);
        }

        return new RankedRun(losses, norms, Values(model, sharding));
    }

    public static Dictionary<string, double[]> Values(DecoderModel model, ISharding sharding)
    {
        var values = new Dictionary<string, double[]>();
        foreach (var unit in model.Units)
        {
            sharding.GatherValues(
                unit,
                (parameter, value) =>
                    values.Add(
                        parameter.Name,
                        value.to_type(ScalarType.Float64).cpu().contiguous().data<double>().ToArray()
                    )
            );
        }

        return values;
    }

    public static MicroBatch Batch(int seed)
    {
        var random = new Random(seed);
        var lengths = new[] { 5 + random.Next(6), 4 + random.Next(5) };
        int[] starts = [0, lengths[0], lengths[0] + lengths[1]];
        int[] ids = [.. Enumerable.Range(0, starts[2]).Select(_ => random.Next(Tiny.VocabularySize))];
        int[] labels = [.. ids.Select((id, i) => i % 3 == 0 || i == lengths[0] ? MicroBatch.Ignored : id)];
        return new MicroBatch
        {
            TokenIds = ids,
            Labels = labels,
            SequenceStarts = starts,
            SupervisedTokens = labels.Count(label => label != MicroBatch.Ignored),
            Examples = [0, 1],
        };
    }

    public void ShouldBe(RankedRun expected, double relative)
    {
        for (var step = 0; step < Steps; step++)
        {
            GoldenModelTests.Near(expected.Losses[step], Losses[step], relative);
            GoldenModelTests.Near(expected.Norms[step], Norms[step], relative);
        }

        Xunit.Assert.Equal(expected.Weights.Keys, Weights.Keys);
        foreach (var (name, values) in expected.Weights)
        {
            var scale = Math.Max(values.Max(Math.Abs), 1e-6);
            var worst = values.Zip(Weights[name], (a, b) => Math.Abs(a - b)).Max() / scale;
            Xunit.Assert.True(worst <= relative, $"{name} is {worst:E1} away, of which {relative:E1} is allowed.");
        }
    }
}
