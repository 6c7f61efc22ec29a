using GlmTune.Data.Batching;
using GlmTune.Kernels.Definitions;
using GlmTune.Model.Layers;
using static TorchSharp.torch;

namespace GlmTune.Training;

/// <summary>A micro-batch in the form that the model takes: concatenated tokens, and the targets of supervised
/// positions.</summary>
internal sealed class TrainingPass : IDisposable
{
    internal TrainingPass(
        int[] tokenIds,
        SequenceLayout sequences,
        SupervisedTargets targets,
        Range? run = null,
        AttentionExchange? exchange = null
    ) => (TokenIds, Sequences, Targets, Run, Exchange) = (tokenIds, sequences, targets, run, exchange);

    /// <summary>Token ids [N].</summary>
    public int[] TokenIds { get; }

    /// <summary>Which tokens belong to which sequence; disposed by whoever runs the pass.</summary>
    public SequenceLayout Sequences { get; }

    /// <summary>Which token is predicted from which position.</summary>
    public SupervisedTargets Targets { get; }

    /// <summary>The tokens of <see cref="Sequences"/> on this rank if ranks share a pass; null: all.</summary>
    public Range? Run { get; }

    /// <summary>How attention sees all tokens if ranks share a pass; null: this rank has all tokens.</summary>
    public AttentionExchange? Exchange { get; }

    /// <summary>Creates the pass of a micro-batch.</summary>
    public static TrainingPass Of(MicroBatch batch, Device device)
    {
        var (rows, targets) = TargetsOf(batch);
        return new TrainingPass(
            batch.TokenIds,
            new SequenceLayout(batch.SequenceStarts, device),
            new SupervisedTargets(rows, targets, device)
        );
    }

    /// <summary>Rows to predict from and their targets: labels shifted by one, none across the start of a
    /// sequence.</summary>
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
