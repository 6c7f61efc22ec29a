using GlmTune.Data.Templates;

namespace GlmTune.Data.Batching;

/// <summary>Puts examples into one micro-batch of equally long rows, padded on the left.</summary>
public static class Collator
{
    /// <summary>Pads to the longest example.</summary>
    /// <param name="examples">At least one; each a row, in this order.</param>
    /// <param name="indices">What <see cref="MicroBatch.Examples"/> says of each.</param>
    /// <param name="paddingId">The id that stands in padding; its position is 0 and its label
    /// <see cref="MicroBatch.Ignored"/>.</param>
    /// <exception cref="ArgumentException">There is no example, or not as many indices as examples.</exception>
    public static MicroBatch Pad(IReadOnlyList<TokenizedExample> examples, IReadOnlyList<int> indices, int paddingId)
    {
        if (examples.Count == 0 || indices.Count != examples.Count)
        {
            throw new ArgumentException(
                $"{examples.Count} examples and {indices.Count} indices; expected as many of both, and at least one.",
                nameof(examples)
            );
        }

        var length = examples.Max(example => example.TokenIds.Length);
        var ids = new int[examples.Count * length];
        var labels = new int[ids.Length];
        var positions = new int[ids.Length];
        var padding = new int[examples.Count];
        ids.AsSpan().Fill(paddingId);
        labels.AsSpan().Fill(MicroBatch.Ignored);
        for (var row = 0; row < examples.Count; row++)
        {
            var example = examples[row];
            padding[row] = length - example.TokenIds.Length;
            Place.Example(example, ids, labels, positions, (row * length) + padding[row]);
        }

        return new MicroBatch
        {
            Rows = examples.Count,
            Length = length,
            TokenIds = ids,
            Labels = labels,
            Positions = positions,
            Padding = padding,
            SupervisedTokens = examples.Sum(example => example.SupervisedTokens),
            Examples = [.. indices],
        };
    }

    /// <summary>A micro-batch that teaches nothing: what a rank runs when the last step of an epoch has none left for
    /// it.</summary>
    /// <remarks>It holds one row of two padding tokens without labels, so that every rank takes part in the same
    /// communication.</remarks>
    public static MicroBatch Filler(int paddingId) =>
        new()
        {
            Rows = 1,
            Length = 2,
            TokenIds = [paddingId, paddingId],
            Labels = [MicroBatch.Ignored, MicroBatch.Ignored],
            Positions = [0, 1],
            Padding = [0],
            SupervisedTokens = 0,
            Examples = [],
        };
}
