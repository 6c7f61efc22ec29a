using GlmTune.Data.Batching;

namespace GlmTune.Data.Templates;

/// <summary>A conversation as the model is trained on it: token ids and which of them are supervised.</summary>
public sealed record TokenizedExample
{
    /// <summary>Takes token ids and their supervised ranges.</summary>
    /// <exception cref="ArgumentException">A stretch is empty, out of order, outside the ids, or has the first token,
    /// which nothing predicts.</exception>
    public TokenizedExample(int[] tokenIds, IReadOnlyList<(int Start, int End)> supervised)
    {
        var before = 1;
        foreach (var (start, end) in supervised)
        {
            if (start < before || end <= start || end > tokenIds.Length)
            {
                throw new ArgumentException(
                    $"[{start}, {end}) of {tokenIds.Length} tokens; expected ordered, non-empty ranges that "
                        + "start at 1 or later.",
                    nameof(supervised)
                );
            }

            before = end;
        }

        (TokenIds, Supervised) = (tokenIds, supervised);
    }

    /// <summary>The ids, at most as many as the template's limit.</summary>
    public int[] TokenIds { get; }

    /// <summary>The supervised ranges, in order: [start, end) each; position 0 is never in one.</summary>
    public IReadOnlyList<(int Start, int End)> Supervised { get; }

    /// <summary>Number of tokens before the cut.</summary>
    public required int FullLength { get; init; }

    /// <summary>Whether the conversation was longer than the limit.</summary>
    public bool IsCut => FullLength > TokenIds.Length;

    /// <summary>Whether the cut took an end token that would have been supervised, so that nothing in this row teaches
    /// where to stop.</summary>
    public required bool LostItsEnd { get; init; }

    /// <summary>Line of the file, from 1; 0 if it is from none.</summary>
    public int Line { get; init; }

    /// <summary>Number of supervised tokens.</summary>
    public int SupervisedTokens => Supervised.Sum(stretch => stretch.End - stretch.Start);

    /// <summary>The labels, unshifted: the id where it is supervised, else <see cref="MicroBatch.Ignored"/>. A new
    /// array.</summary>
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
