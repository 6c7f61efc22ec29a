using System.Collections.Concurrent;
using System.Numerics;

namespace GlmTune.Data.Tokenization;

/// <summary>The rank of the token that two tokens form together: a hash table with open addressing.</summary>
/// <remarks>Immutable. Most pairs have no token. One bit, in a table that fits into a core's cache, tells for nearly
/// all of these; only the others are looked for in the large table.</remarks>
internal sealed class PairRanks
{
    /// <summary>The rank of a pair that is not a token.</summary>
    public const int None = int.MaxValue;

    private const int BitsPerSlot = 8;

    private readonly Slot[] slots;
    private readonly byte[] mayExist;
    private readonly int shift;
    private readonly int[] lowest;

    /// <param name="tokens">The bytes of each token; its index is its rank.</param>
    /// <param name="ranks">The rank of each token.</param>
    public PairRanks(IReadOnlyList<byte[]> tokens, Dictionary<byte[], int> ranks)
    {
        var merges = MergesOf(tokens, ranks);
        slots = new Slot[BitOperations.RoundUpToPowerOf2((uint)(merges.Count * 4L / 3) + 1)]; // never full
        mayExist = new byte[slots.Length * BitsPerSlot / 8];
        shift = 64 - BitOperations.Log2((uint)slots.Length * BitsPerSlot);
        lowest = new int[tokens.Count];
        lowest.AsSpan().Fill(None);
        foreach (var (left, right, rank) in merges)
        {
            Add(left, right, rank);
        }
    }

    /// <summary>The rank of the token that <paramref name="left"/> and <paramref name="right"/> form;
    /// <see cref="None"/> if there is none.</summary>
    public int Find(int left, int right)
    {
        var bit = Hash(left, right);
        if ((mayExist[bit >> 3] & (1 << (bit & 7))) == 0)
        {
            return None;
        }

        for (var at = bit / BitsPerSlot; ; at = (at + 1) & (slots.Length - 1))
        {
            ref readonly var slot = ref slots[at];
            if (slot.RankPlusOne == 0)
            {
                return None;
            }

            if (slot.Left == left && slot.Right == right)
            {
                return slot.RankPlusOne - 1;
            }
        }
    }

    /// <summary>The lowest rank of a token that a token forms together with another, on either side;
    /// <see cref="None"/> if there is none.</summary>
    public int LowestWith(int token) => lowest[token];

    private static List<(int Left, int Right, int Rank)> MergesOf(
        IReadOnlyList<byte[]> tokens,
        Dictionary<byte[], int> ranks
    )
    {
        var merges = new List<(int, int, int)>(2 * tokens.Count);
        var adding = new Lock();
        Parallel.ForEach(
            Partitioner.Create(0, tokens.Count),
            range =>
            {
                var find = ranks.GetAlternateLookup<ReadOnlySpan<byte>>();
                var (part, found) = (new List<(int, int, int)>(), new List<(int Left, int Right)>());
                for (var rank = range.Item1; rank < range.Item2; rank++)
                {
                    found.Clear();
                    MergeList.AddMergesInto(tokens[rank], find, found);
                    foreach (var (left, right) in found)
                    {
                        part.Add((left, right, rank));
                    }
                }

                lock (adding)
                {
                    merges.AddRange(part);
                }
            }
        );
        return merges;
    }

    private void Add(int left, int right, int rank)
    {
        (lowest[left], lowest[right]) = (Math.Min(lowest[left], rank), Math.Min(lowest[right], rank));
        var bit = Hash(left, right);
        mayExist[bit >> 3] |= (byte)(1 << (bit & 7));
        var at = bit / BitsPerSlot;
        while (slots[at].RankPlusOne != 0)
        {
            at = (at + 1) & (slots.Length - 1);
        }

        slots[at] = new Slot(left, right, rank + 1);
    }

    // Fibonacci hashing: the upper bits of the product depend on all bits of the pair.
    private int Hash(int left, int right) =>
        (int)((((ulong)(uint)left << 32 | (uint)right) * 0x9E37_79B9_7F4A_7C15) >> shift);

    // An empty slot is all zeros.
    private readonly record struct Slot(int Left, int Right, int RankPlusOne);
}
