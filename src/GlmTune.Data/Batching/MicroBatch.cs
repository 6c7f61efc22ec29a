namespace GlmTune.Data.Batching;

/// <summary>What one forward and backward pass is fed: B sequences of T tokens, padded or packed, as plain
/// arrays.</summary>
/// <remarks>
/// Arrays are row-major [B, T]. Labels are unshifted: <c>Labels[i]</c> is the id at place i where that id is learnt,
/// and <see cref="Ignored"/> elsewhere; the output head shifts them, once. A padded row has its padding on the left. A
/// packed micro-batch has one row (B = 1) that holds several sequences back to back. </remarks>
public sealed class MicroBatch
{
    /// <summary>The label of a place that does not count.</summary>
    public const int Ignored = -100;

    /// <summary>B: number of rows.</summary>
    public required int Rows { get; init; }

    /// <summary>T: tokens a row, padding included.</summary>
    public required int Length { get; init; }

    /// <summary>Token ids [B, T].</summary>
    public required int[] TokenIds { get; init; }

    /// <summary>Labels [B, T], unshifted; the first token of every sequence is <see cref="Ignored"/>.</summary>
    public required int[] Labels { get; init; }

    /// <summary>Place of each token in its own sequence, from 0, [B, T]; 0 on padding; restarts inside a packed
    /// row.</summary>
    public required int[] Positions { get; init; }

    /// <summary>Number of padding places at the start of each row, [B]; all 0 when packed.</summary>
    public required int[] Padding { get; init; }

    /// <summary>For a packed row: where each sequence starts, then T; [sequences + 1]. Null when padded.</summary>
    public int[]? SequenceStarts { get; init; }

    /// <summary>How many labels count: the number that are not <see cref="Ignored"/> and have a token before them to
    /// predict from.</summary>
    public required int SupervisedTokens { get; init; }

    /// <summary>Which examples are inside, as indices into the split, in row (or packing) order; for error
    /// messages.</summary>
    public required int[] Examples { get; init; }

    /// <summary>Places that hold a real token.</summary>
    public int RealTokens => (Rows * Length) - Padding.Sum();
}
