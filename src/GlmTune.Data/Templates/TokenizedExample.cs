using GlmTune.Data.Batching;

namespace GlmTune.Data.Templates;

/// <summary>A conversation as the model is trained on it: token ids and which of them are learnt.</summary>
/// <param name="TokenIds">The ids, at most as many as the template's limit.</param>
/// <param name="Supervised">The stretches that are learnt, in order and apart: [start, end) each; place 0 is never in one.</param>
public sealed record TokenizedExample(int[] TokenIds, IReadOnlyList<(int Start, int End)> Supervised)
{
    /// <summary>Number of tokens before the cut.</summary>
    public required int FullLength { get; init; }

    /// <summary>Whether the conversation was longer than the limit.</summary>
    public bool IsCut => FullLength > TokenIds.Length;

    /// <summary>Whether the cut took an end token that would have been learnt, so that nothing in this row teaches where to stop.</summary>
    public required bool LostItsEnd { get; init; }

    /// <summary>Line of the file, from 1; 0 if it is from none.</summary>
    public int Line { get; init; }

    /// <summary>How many tokens are learnt.</summary>
    public int SupervisedTokens => Supervised.Sum(stretch => stretch.End - stretch.Start);

    /// <summary>The labels, unshifted: the id where it is learnt, else <see cref="MicroBatch.Ignored"/>. A new array.</summary>
    public int[] Labels()
    {
        var labels = new int[TokenIds.Length];
        labels.AsSpan().Fill(MicroBatch.Ignored);
        foreach (var (start, end) in Supervised)
        {
            TokenIds.AsSpan(start..end).CopyTo(labels.AsSpan(start));
        }

        return labels;
    }
}
