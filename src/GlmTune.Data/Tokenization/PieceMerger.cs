using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace GlmTune.Data.Tokenization;

/// <summary>Byte-pair merging of one short piece: the adjacent pair of lowest rank first, the leftmost among
/// equals.</summary>
/// <remarks>Each merge looks at all parts, which is fastest for words and sentences; <see cref="LongPieceMerger"/> is
/// for what is longer. Not thread-safe.</remarks>
internal sealed class PieceMerger
{
    /// <summary>The longest piece in UTF-16 units.</summary>
    public const int MaxLength = 256;

    private const int MaxParts = 3 * MaxLength;

    private readonly PairRanks pairs;
    private readonly StartingParts start;
    private readonly int[] parts = new int[MaxParts];

    // Rank of each part together with the next; the last has none. Filled up to whole vectors with None.
    private readonly int[] ranks = new int[MaxParts + Vector256<int>.Count];

    /// <param name="pairs">The rank of each pair of tokens.</param>
    /// <param name="start">Gives the parts to start with.</param>
    public PieceMerger(PairRanks pairs, StartingParts start) => (this.pairs, this.start) = (pairs, start);

    /// <summary>Encodes a piece.</summary>
    /// <param name="piece">The piece, from 1 to <see cref="MaxLength"/> units, without unpaired surrogates.</param>
    /// <returns>The ids; valid until the next call.</returns>
    public ReadOnlySpan<int> Encode(ReadOnlySpan<char> piece)
    {
        var count = start.Write(piece, parts);
        for (var i = 1; i < count; i++)
        {
            ranks[i - 1] = pairs.Find(parts[i - 1], parts[i]);
        }

        ranks.AsSpan(count - 1, Vector256<int>.Count + 1).Fill(PairRanks.None);
        while (true)
        {
            var lowest = Lowest(ranks.AsSpan(0, count));
            if (lowest == PairRanks.None)
            {
                return parts.AsSpan(0, count);
            }

            // The part takes in the next one, and the parts after that move up.
            var at = ranks.AsSpan(0, count).IndexOf(lowest);
            parts[at] = lowest;
            parts.AsSpan(at + 2, count - at - 2).CopyTo(parts.AsSpan(at + 1));
            ranks.AsSpan(at + 1, count - at - 1 + Vector256<int>.Count).CopyTo(ranks.AsSpan(at));
            count--;
            if (at + 1 < count)
            {
                ranks[at] = pairs.Find(lowest, parts[at + 1]);
            }

            if (at > 0)
            {
                ranks[at - 1] = pairs.Find(parts[at - 1], lowest);
            }
        }
    }

    private static int Lowest(ReadOnlySpan<int> values)
    {
        // Reading beyond the end is safe: None follows.
        ref var first = ref MemoryMarshal.GetReference(values);
        var lowest = Vector256.LoadUnsafe(ref first);
        for (var i = Vector256<int>.Count; i < values.Length; i += Vector256<int>.Count)
        {
            lowest = Vector256.Min(lowest, Vector256.LoadUnsafe(ref first, (nuint)i));
        }

        var half = Vector128.Min(lowest.GetLower(), lowest.GetUpper());
        return Math.Min(Math.Min(half[0], half[1]), Math.Min(half[2], half[3]));
    }
}
