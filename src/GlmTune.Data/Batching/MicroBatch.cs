using GlmTune.Data.Templates;

namespace GlmTune.Data.Batching;

/// <summary>What one forward and backward pass is fed: N tokens of one or more sequences, back to back and without
/// padding, as plain arrays.</summary>
/// <remarks>Labels are unshifted: <c>Labels[i]</c> is the id at position i where the loss covers it, and
/// <see cref="Ignored"/> elsewhere; the training pass shifts them, once.</remarks>
public sealed class MicroBatch
{
    /// <summary>The label of a token that the loss does not cover.</summary>
    public const int Ignored = -100;

    /// <summary>Token ids [N].</summary>
    public required int[] TokenIds { get; init; }

    /// <summary>Labels [N], unshifted; the first token of every sequence is <see cref="Ignored"/>.</summary>
    public required int[] Labels { get; init; }

    /// <summary>Where each sequence starts, then N; [sequences + 1].</summary>
    public required int[] SequenceStarts { get; init; }

    /// <summary>How many labels count: the number that are not <see cref="Ignored"/> and have a token before them to
    /// predict from.</summary>
    public required int SupervisedTokens { get; init; }

    /// <summary>Which examples are inside, as indices into the split, in order; for error messages.</summary>
    public required int[] Examples { get; init; }

    /// <summary>Lays examples back to back; none may see its neighbour.</summary>
    /// <param name="examples">At least one, in this order.</param>
    /// <param name="indices">What <see cref="Examples"/> says of each.</param>
    /// <exception cref="ArgumentException">There is no example, or not as many indices as examples.</exception>
    public static MicroBatch Of(IReadOnlyList<TokenizedExample> examples, IReadOnlyList<int> indices)
    {
        if (examples.Count == 0 || indices.Count != examples.Count)
        {
            throw new ArgumentException(
                $"{examples.Count} examples and {indices.Count} indices; expected as many of both, and at least one.",
                nameof(examples)
            );
        }

        var starts = new int[examples.Count + 1];
        for (var i = 0; i < examples.Count; i++)
        {
            starts[i + 1] = starts[i] + examples[i].TokenIds.Length;
        }

        return new MicroBatch
        {
            TokenIds = [.. examples.SelectMany(example => example.TokenIds)],
            Labels = [.. examples.SelectMany(example => example.Labels())],
            SequenceStarts = starts,
            SupervisedTokens = examples.Sum(example => example.SupervisedTokens),
            Examples = [.. indices],
        };
    }

    /// <summary>A micro-batch without labels: what a rank runs when the last step of an epoch has none left for
    /// it.</summary>
    /// <param name="paddingId">Its only token, twice, so that every rank takes part in the same communication.</param>
    public static MicroBatch Filler(int paddingId) =>
        new()
        {
            TokenIds = [paddingId, paddingId],
            Labels = [Ignored, Ignored],
            SequenceStarts = [0, 2],
            SupervisedTokens = 0,
            Examples = [],
        };
}
