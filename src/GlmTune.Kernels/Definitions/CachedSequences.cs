using static TorchSharp.torch;

namespace GlmTune.Kernels.Definitions;

/// <summary>The sequences of a pass over a cache: their slots, and how many tokens each has there.</summary>
/// <remarks>Leading sequences with one new token (decoding) and the others (prompts) take different kernels, so a pass
/// may mix them at no cost, in this order. The device tensors remain owned by the caller. Not thread-safe.</remarks>
internal sealed class CachedSequences : IDisposable
{
    private const int UnevenFrom = 512;

    /// <param name="added">Which new tokens belong to which sequence; remains owned by the caller.</param>
    /// <param name="lengths">Cached tokens of each sequence, including the new ones.</param>
    /// <param name="slots">Slot of each sequence, int64 [sequences].</param>
    /// <param name="deviceLengths">The lengths on the device, int64 [sequences].</param>
    public CachedSequences(SequenceLayout added, IReadOnlyList<int> lengths, Tensor slots, Tensor deviceLengths)
    {
        (Slots, Lengths, Count) = (slots, deviceLengths, added.Count);
        var sum = 0L;
        while (Singles < Count && added.LengthOf(Singles) == 1)
        {
            LongestSingle = Math.Max(LongestSingle, lengths[Singles]);
            sum += lengths[Singles++];
        }

        Uneven = IsUneven(LongestSingle, sum, Singles);

        if (Singles < Count)
        {
            Several = new SequenceLayout(
                [.. added.Starts.Skip(Singles).Select(start => start - Singles)],
                added.Device
            );
            var (starts, at) = (new int[Several.Count + 1], 0);
            for (var i = 0; i < Several.Count; i++)
            {
                starts[i + 1] = at += lengths[Singles + i];
            }

            SeveralKeys = new SequenceLayout(starts, added.Device);
        }
    }

    /// <summary>One new token per sequence; the lengths may be known to the device only.</summary>
    /// <param name="slots">Slot of each sequence, int64 [sequences].</param>
    /// <param name="deviceLengths">Cached tokens of each sequence, including the new one, int64 [sequences].</param>
    /// <param name="longest">At least the largest length.</param>
    /// <param name="uneven">Whether some are much longer than most.</param>
    public CachedSequences(Tensor slots, Tensor deviceLengths, int longest, bool uneven = false)
    {
        (Slots, Lengths, LongestSingle, Uneven) = (slots, deviceLengths, longest, uneven);
        Count = Singles = (int)slots.shape[0];
    }

    /// <summary>Number of sequences.</summary>
    public int Count { get; }

    /// <summary>Slot of each sequence, int64 [sequences].</summary>
    public Tensor Slots { get; }

    /// <summary>Cached tokens of each sequence, including the new ones, int64 [sequences]; new token t of n sees the
    /// first length − n + t + 1.</summary>
    public Tensor Lengths { get; }

    /// <summary>Number of leading sequences with one new token.</summary>
    public int Singles { get; }

    /// <summary>The largest length of these, or an upper bound of it.</summary>
    public int LongestSingle { get; }

    /// <summary>Whether some of these are much longer than most, so that they are worth dividing further.</summary>
    public bool Uneven { get; }

    /// <summary>New tokens of the other sequences, from the first of them; null: there are none.</summary>
    public SequenceLayout? Several { get; }

    /// <summary>All cached tokens of these sequences, one sequence after the other.</summary>
    public SequenceLayout? SeveralKeys { get; }

    /// <summary>Whether some sequences are much longer than most, and long enough to be divided further.</summary>
    /// <param name="longest">Length of the longest.</param>
    /// <param name="sum">Sum of all lengths.</param>
    /// <param name="count">Number of sequences.</param>
    public static bool IsUneven(int longest, long sum, int count) =>
        longest > UnevenFrom && (long)longest * count > 2 * sum;

    /// <inheritdoc/>
    public void Dispose()
    {
        Several?.Dispose();
        SeveralKeys?.Dispose();
    }
}
