using GlmTune.Collectives;
using GlmTune.Data.Batching;
using GlmTune.Kernels.Definitions;
using GlmTune.Model.Layers;

namespace GlmTune.Training.SequenceParallel;

/// <summary>Splits a micro-batch that all ranks of a group have into equal runs of tokens, one per rank, regardless of
/// where its sequences start and end.</summary>
/// <remarks>Memory for activations falls to one share, so sequences can be longer by a factor of the number of ranks.
/// Losses and gradients are sums over tokens, so those of the ranks add up like those of different
/// micro-batches.</remarks>
internal static class SequenceParallelPass
{
    /// <summary>This rank's run of a micro-batch.</summary>
    /// <param name="batch">The micro-batch; the same on all ranks of a group.</param>
    /// <param name="heads">The model's heads.</param>
    /// <param name="ranks">All ranks; groups of consecutive ones share a pass each.</param>
    /// <param name="size">Number of ranks of a group; null: all.</param>
    /// <exception cref="ArgumentException">The heads cannot be divided equally.</exception>
    public static TrainingPass Of(MicroBatch batch, HeadLayout heads, ICollectives ranks, int? size = null)
    {
        var shares = size ?? ranks.WorldSize;
        var place = ranks.Rank % shares;
        var (ids, starts) = (batch.TokenIds, batch.SequenceStarts);
        var (rows, targets) = TrainingPass.TargetsOf(batch);
        var run = (ids.Length + shares - 1) / shares;
        var padding = (run * shares) - ids.Length;
        if (padding > 0)
        {
            // Padding as a sequence of its own, which no other token sees and which has no supervised tokens.
            (ids, starts) = ([.. ids, .. new int[padding]], [.. starts, ids.Length + padding]);
        }

        var (from, to) = (run * place, run * (place + 1));
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
            new HeadExchange(ranks, shares, heads, sequences)
        );
    }
}
