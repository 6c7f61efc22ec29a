using GlmTune.Collectives;
using GlmTune.Data.Batching;
using GlmTune.Kernels.Definitions;
using GlmTune.Model.Layers;

namespace GlmTune.Training.SequenceParallel;

/// <summary>Cuts a micro-batch that all ranks have into equal runs of tokens, one a rank, wherever its sequences begin
/// and end.</summary>
/// <remarks>
/// Memory for activations falls to one share of it, so that a sequence may be as many times longer as there are ranks.
/// Losses and gradients are sums over tokens, so those of the ranks are added as those of other micro-batches are.
/// </remarks>
public static class SequenceParallelPass
{
    /// <summary>This rank's run of a micro-batch.</summary>
    /// <param name="batch">The same on all ranks.</param>
    /// <param name="heads">The model's heads.</param>
    /// <param name="ranks">Who shares the pass.</param>
    /// <exception cref="ArgumentException">The heads cannot be cut into equal shares.</exception>
    public static TrainingPass Of(MicroBatch batch, HeadLayout heads, ICollectives ranks)
    {
        var (ids, starts) = (batch.TokenIds, batch.SequenceStarts);
        var (rows, targets) = TrainingPass.TargetsOf(batch);
        var run = (ids.Length + ranks.WorldSize - 1) / ranks.WorldSize;
        var padding = (run * ranks.WorldSize) - ids.Length;
        if (padding > 0)
        {
            // A sequence of its own, which nobody sees and which teaches nothing.
            (ids, starts) = ([.. ids, .. new int[padding]], [.. starts, ids.Length + padding]);
        }

        var (from, to) = (run * ranks.Rank, run * (ranks.Rank + 1));
        var mine = Enumerable.Range(0, rows.Length).Where(i => rows[i] >= from && rows[i] < to).ToArray();
        var sequences = new SequenceLayout(starts, ranks.Device);
        return new TrainingPass(
            ids[from..to],
            sequences,
            new SupervisedTargets(
                [.. mine.Select(i => rows[i] - from)],
                [.. mine.Select(i => targets[i])],
                ranks.Device
            ),
            from..to,
            new HeadExchange(ranks, heads, sequences)
        );
    }
}
