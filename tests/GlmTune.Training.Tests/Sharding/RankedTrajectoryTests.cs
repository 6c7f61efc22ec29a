using System.Text.Json;
using GlmTune.Collectives;
using GlmTune.Data.Batching;
using GlmTune.Kernels.Native;
using GlmTune.Model;
using GlmTune.Model.Adapters;
using GlmTune.Testing;
using GlmTune.Training.Optimization;
using GlmTune.Training.SequenceParallel;
using GlmTune.Training.Sharding;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Training.Tests.Sharding;

/// <summary>Runs of transformers and PEFT, followed by several ranks together.</summary>
public class RankedTrajectoryTests
{
    static RankedTrajectoryTests() => NativeRuntime.Load();

    [Theory, InlineData("full", 2, 3), InlineData("full", 4, 2), InlineData("prefix", 2, 3), InlineData("prefix", 4, 0)]
    [InlineData("full", 4, 3, 2), InlineData("full", 4, 1, 2), InlineData("full", 6, 0, 2)]
    public void Ranks_follow_the_reference_trajectory(string kind, int worldSize, int stage, int sharedBy = 1)
    {
        InProcess.Run(
            worldSize,
            ranks =>
            {
                using var scope = NewDisposeScope();
                using var model = ModelFolder.Load(
                    Path.Combine(GoldenModelTests.Folder, "model-hf"),
                    ScalarType.Float32,
                    CPU
                );
                using var prefix =
                    kind == "prefix"
                        ? AdapterFolder.LoadPrefix(Path.Combine(GoldenModelTests.Folder, "adapter-prefix"), model)
                        : null;
                foreach (var parameter in prefix is null ? model.BaseParameters : [])
                {
                    parameter.Trainable = true;
                }

                using var json = JsonDocument.Parse(
                    File.ReadAllBytes(Path.Combine(GoldenModelTests.Folder, "trajectories.json"))
                );
                var steps = json.RootElement.GetProperty(kind).EnumerateArray().ToList();
                using var sharding = DataParallel.For(
                    new ShardingOptions { Stage = stage, PersistenceThreshold = 1000 },
                    model,
                    ranks
                );
                var options = new OptimizerOptions
                {
                    LearningRate = steps[0].GetProperty("lr").GetDouble(),
                    MaxGradientNorm = 1,
                };
                var schedule = new LearningRateSchedule(options.LearningRate, new ScheduleOptions(), steps.Count);
                using var trainer = new Trainer(
                    new LayerRunner(model, sharding, recomputed: 1),
                    sharding,
                    options,
                    schedule,
                    seed: 1,
                    ranks.Rank
                )
                {
                    MakePass =
                        sharedBy == 1
                            ? null
                            : batch => SequenceParallelPass.Of(batch, model.Config.Heads, ranks, sharedBy),
                };
                if (prefix is not null)
                {
                    AddGoldenGradients(trainer.Runner, ranks);
                }

                foreach (var step in steps)
                {
                    var report = trainer.Step(
                        Share(GoldenModelTests.Batch(step), ranks.Rank / sharedBy, worldSize / sharedBy)
                    );
                    GoldenModelTests.Near(step.GetProperty("loss").GetDouble(), report.Loss, 1e-3);
                    GoldenModelTests.Near(
                        step.GetProperty("grad_norm").GetDouble(),
                        report.GradientNorm,
                        prefix is null ? 1e-3 : 1e-2
                    );
                }
            }
        );
    }

    // The reference took these gradients before its first step and did not clear them; it counts padding in positions,
    // so each row is by itself.
    private static void AddGoldenGradients(LayerRunner runner, ICollectives ranks)
    {
        var batch = GoldenBatch.Read(Path.Combine(GoldenModelTests.Folder, "batch.json"));
        var all = batch.ToMicroBatch();
        var offset = runner.Model.PositionOffset;
        for (var row = 0; row < batch.Ids.Length; row++)
        {
            runner.Model.PositionOffset = offset + batch.PaddingOf(row);
            using var pass = TrainingPass.Of(
                row % ranks.WorldSize == ranks.Rank ? batch.ToMicroBatch(row) : MicroBatch.Filler(0),
                CPU
            );
            using var loss = runner.ForwardBackward(
                pass,
                1.0 / all.SupervisedTokens,
                dropoutSeed: null,
                lastOfStep: false
            );
        }

        runner.Model.PositionOffset = offset;
    }

    // Row r goes to rank (or group of ranks) r mod N; where there are fewer rows than ranks, some have none.
    private static StepBatches Share(StepBatches step, int rank, int count)
    {
        var all = step.MicroBatches[0];
        var starts = all.SequenceStarts;
        if (rank >= starts.Length - 1)
        {
            return step with { MicroBatches = [MicroBatch.Filler(0)] };
        }

        int[] rows = [.. Enumerable.Range(0, starts.Length - 1).Where(row => row % count == rank)];
        T[] Of<T>(T[] values) => [.. rows.SelectMany(row => values[starts[row]..starts[row + 1]])];
        var labels = Of(all.Labels);
        var ends = new List<int> { 0 };
        foreach (var row in rows)
        {
            ends.Add(ends[^1] + starts[row + 1] - starts[row]);
        }

        return step with
        {
            MicroBatches =
            [
                new MicroBatch
                {
                    TokenIds = Of(all.TokenIds),
                    Labels = labels,
                    SequenceStarts = [.. ends],
                    SupervisedTokens = labels.Count(label => label != MicroBatch.Ignored),
                    Examples = rows,
                },
            ],
        };
    }
}
