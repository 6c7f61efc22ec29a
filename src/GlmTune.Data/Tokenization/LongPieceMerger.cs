namespace GlmTune.Data.Tokenization;

/// <summary>Byte-pair merging of one long piece in O(n log n): lowest rank first, leftmost among equals.</summary>
/// <remarks><see cref="PieceMerger"/> looks at the whole piece for each merge. That is faster for words, but takes half
/// a minute for a piece of 160,000 letters, such as text without spaces or an attack.</remarks>
internal sealed class LongPieceMerger(Dictionary<byte[], int> ranks)
{
    private readonly Dictionary<byte[], int>.AlternateLookup<ReadOnlySpan<byte>> ranks = ranks.GetAlternateLookup<
        ReadOnlySpan<byte>
    >();

    /// <summary>Encodes a piece.</summary>
    /// <param name="piece">UTF-8 bytes; at least one.</param>
    public List<int> Encode(ReadOnlySpan<byte> piece)
    {
        var bytes = piece.ToArray(); // spans cannot be captured
        // Part i is bytes[i..end[i]]; before[i] is the start of the part to its left. Parts that were merged into
        // another have end 0.
        var end = new int[bytes.Length];
        var before = new int[bytes.Length + 1];
        for (var i = 0; i < bytes.Length; i++)
        {
            (end[i], before[i + 1]) = (i + 1, i);
        }

        var merges = new PriorityQueue<(int Start, int Middle, int End), (int Rank, int Start)>();
        void Offer(int start, int middle)
        {
            if (middle < bytes.Length && ranks.TryGetValue(bytes.AsSpan(start..end[middle]), out var rank))
            {
                merges.Enqueue((start, middle, end[middle]), (rank, start));
            }
        }

        for (var i = 0; i < bytes.Length - 1; i++)
        {
            Offer(i, i + 1);
        }

        while (merges.TryDequeue(out var merge, out _))
        {
            // One of the two parts may have changed since this entry was added.
            if (end[merge.Start] != merge.Middle || end[merge.Middle] != merge.End)
            {
                continue;
            }

            end[merge.Start] = merge.End;
            end[merge.Middle] = 0;
            before[merge.End] = merge.Start;
            Offer(merge.Start, merge.End);
            if (merge.Start > 0)
            {
                Offer(before[merge.Start], merge.Start);
            }
        }

        var ids = new List<int>();
        for (var start = 0; start < bytes.Length; start = end[start])
        {
            ids.Add(ranks[bytes.AsSpan(start..end[start])]);
        }

        return ids;
    }
}
