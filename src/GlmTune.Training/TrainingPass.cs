using GlmTune.Data.Batching;
using GlmTune.Kernels.Definitions;
using GlmTune.Model.Layers;
using static TorchSharp.torch;

namespace GlmTune.Training;

/// <summary>A micro-batch as the model takes it: real tokens back to back, and what each supervised place
/// predicts.</summary>
/// <remarks>Padding is left out here, so a padded row, the same row alone and the same row packed are one
/// computation.</remarks>
public sealed class TrainingPass : IDisposable
{
    internal TrainingPass(
        int[] tokenIds,
        SequenceLayout sequences,
        SupervisedTargets targets,
        Range? run = null,
        AttentionExchange? exchange = null
    ) => (TokenIds, Sequences, Targets, Run, Exchange) = (tokenIds, sequences, targets, run, exchange);

    /// <summary>[N].</summary>
    public int[] TokenIds { get; }

    /// <summary>Which tokens belong to which sequence; whoever runs the pass disposes it.</summary>
    public SequenceLayout Sequences { get; }

    /// <summary>What is predicted from where.</summary>
    public SupervisedTargets Targets { get; }

    /// <summary>The tokens of <see cref="Sequences"/> that this rank holds, where ranks share a pass; null:
    /// all.</summary>
    public Range? Run { get; }

    /// <summary>How attention sees all tokens where ranks share a pass; null: this rank holds all.</summary>
    public AttentionExchange? Exchange { get; }

    /// <summary>The pass of a micro-batch, padded or packed.</summary>
    /// <exception cref="ArgumentException">The micro-batch holds no real token, or a packed row is not a single
    /// one.</exception>
    public static TrainingPass Of(MicroBatch batch, Device device)
    {
        var (ids, starts, rows, targets) = Parts(batch);
        return new TrainingPass(ids, new SequenceLayout(starts, device), new SupervisedTargets(rows, targets, device));
    }

    /// <summary>Ids without padding, starts of the sequences and N, rows to predict from, and what each should
    /// predict.</summary>
    internal static (int[] Ids, int[] Starts, int[] Rows, int[] Targets) Parts(MicroBatch batch)
    {
        var ids = new List<int>();
        var starts = new List<int> { 0 };
        var (rows, targets) = (new List<int>(), new List<int>());
        foreach (var (from, to) in SequencesOf(batch))
        {
            for (var place = from; place < to; place++)
            {
                if (place > from && batch.Labels[place] != MicroBatch.Ignored)
                {
                    rows.Add(ids.Count - 1);
                    targets.Add(batch.Labels[place]);
                }

                ids.Add(batch.TokenIds[place]);
            }

            starts.Add(ids.Count);
        }

        return ([.. ids], [.. starts], [.. rows], [.. targets]);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Sequences.Dispose();
        Targets.Dispose();
    }

    // Where each sequence begins and ends in the flattened [B, T] arrays, padding left out.
    private static IEnumerable<(int From, int To)> SequencesOf(MicroBatch batch)
    {
        if (batch.SequenceStarts is { } packed)
        {
            if (batch.Rows != 1)
            {
                throw new ArgumentException(
                    $"A packed micro-batch has one row; this one has {batch.Rows}.",
                    nameof(batch)
                );
            }

            for (var i = 0; i + 1 < packed.Length; i++)
            {
                yield return (packed[i], packed[i + 1]);
            }

            yield break;
        }

        for (var row = 0; row < batch.Rows; row++)
        {
            yield return ((row * batch.Length) + batch.Padding[row], (row + 1) * batch.Length);
        }
    }
}
