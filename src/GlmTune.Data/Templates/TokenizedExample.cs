using GlmTune.Data.Batching;

namespace GlmTune.Data.Templates;

/// <summary>A conversation in the form used for training: token ids, and which of them are supervised.</summary>
public sealed record TokenizedExample
{
    /// <summary>Creates an example from token ids and their supervised ranges.</summary>
    /// <exception cref="ArgumentException">A range is empty, out of order or outside the ids, or includes the first
    /// token, which nothing predicts.</exception>
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

    /// <summary>Token ids, at most as many as the template's limit.</summary>
    public int[] TokenIds { get; }

    /// <summary>The supervised ranges [start, end), in order; position 0 is never in one.</summary>
    public IReadOnlyList<(int Start, int End)> Supervised { get; }

    /// <summary>Number of tokens before truncation.</summary>
    public required int FullLength { get; init; }

    /// <summary>Whether the conversation was longer than the limit.</summary>
    public bool IsCut => FullLength > TokenIds.Length;

    /// <summary>Whether truncation removed an end token that would have been supervised, so that the row does not teach
    /// the model when to stop.</summary>
    public required bool LostItsEnd { get; init; }

    /// <summary>Line in the file, from 1; 0 if it is not from a file.</summary>
    public int Line { get; init; }

    /// <summary>Number of supervised tokens.</summary>
    public int SupervisedTokens => Supervised.Sum(stretch => stretch.End - stretch.Start);

    /// <summary>A new array of the unshifted labels: the id if the token is supervised, otherwise
    /// <see cref="MicroBatch.Ignored"/>.</summary>
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
