using GlmTune.Data.Batching;
using GlmTune.Kernels.Definitions;
using GlmTune.Model.Layers;
using static TorchSharp.torch;

namespace GlmTune.Training;

/// <summary>A micro-batch as the model takes it: real tokens back to back, and what each supervised place
/// predicts.</summary>
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

    /// <summary>The pass of a micro-batch.</summary>
    public static TrainingPass Of(MicroBatch batch, Device device)
    {
        var (rows, targets) = TargetsOf(batch);
        return new TrainingPass(
            batch.TokenIds,
            new SequenceLayout(batch.SequenceStarts, device),
            new SupervisedTargets(rows, targets, device)
        );
    }

    /// <summary>Rows to predict from, and what each should predict: labels shifted by one, none across a sequence's
    /// start.</summary>
    internal static (int[] Rows, int[] Targets) TargetsOf(MicroBatch batch)
    {
        var (rows, targets) = (new List<int>(), new List<int>());
        for (var i = 0; i + 1 < batch.SequenceStarts.Length; i++)
        {
            for (var t = batch.SequenceStarts[i] + 1; t < batch.SequenceStarts[i + 1]; t++)
            {
                if (batch.Labels[t] != MicroBatch.Ignored)
                {
                    rows.Add(t - 1);
                    targets.Add(batch.Labels[t]);
                }
            }
        }

        return ([.. rows], [.. targets]);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Sequences.Dispose();
        Targets.Dispose();
    }
}
