using GlmTune.Data.Templates;

namespace GlmTune.Data.Batching;

/// <summary>The input of one forward and backward pass: N tokens of one or more sequences, concatenated without
/// padding, as plain arrays.</summary>
/// <remarks>Labels are unshifted: <c>Labels[i]</c> is the id at position i if that token is supervised, and
/// <see cref="Ignored"/> otherwise. The training pass shifts them, once.</remarks>
internal sealed class MicroBatch
{
    /// <summary>The label of a token that is not supervised.</summary>
    public const int Ignored = -100;

    /// <summary>Token ids [N].</summary>
    public required int[] TokenIds { get; init; }

    /// <summary>Labels [N], unshifted; the first token of every sequence is <see cref="Ignored"/>.</summary>
    public required int[] Labels { get; init; }

    /// <summary>Where each sequence starts, followed by N; [sequences + 1].</summary>
    public required int[] SequenceStarts { get; init; }

    /// <summary>Number of supervised labels: those that are not <see cref="Ignored"/> and have a preceding token to be
    /// predicted from.</summary>
    public required int SupervisedTokens { get; init; }

    /// <summary>Indices of the examples inside, in order; for error messages.</summary>
    public required int[] Examples { get; init; }

    /// <summary>Concatenates examples; attention does not cross from one to another.</summary>
    /// <param name="examples">The examples in order; at least one.</param>
    /// <param name="indices">Index of each example, stored in <see cref="Examples"/>.</param>
    /// <exception cref="ArgumentException">There is no example, or the number of indices differs.</exception>
    public static MicroBatch Of(IReadOnlyList<TokenizedExample> examples, IReadOnlyList<int> indices)
    {
        if (examples.Count == 0 || indices.Count != examples.Count)
        {
            throw new ArgumentException(
                $"{examples.Count} examples and {indices.Count} indices; expected equal numbers, and at least "
                    + "one.",
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

    /// <summary>A micro-batch without labels, for a rank that has no examples left in the last step of an
    /// epoch.</summary>
    /// <param name="paddingId">The only token of the micro-batch, used twice. It lets the rank join the same
    /// communication as the others.</param>
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
