using System.Runtime.InteropServices;
using System.Text;

namespace GlmTune.Data.Tokenization;

/// <summary>Encodes plain text, one text at a time, with buffers and a cache of its own.</summary>
/// <remarks>A piece that is a token gets its id even where merging would not arrive at it, as in the reference
/// implementation. Not thread-safe.</remarks>
internal sealed class TextEncoder
{
    private readonly EncodingTables tables;
    private readonly Dictionary<byte[], int>.AlternateLookup<ReadOnlySpan<byte>> ranks;
    private readonly PieceMerger merger;
    private readonly LongPieceMerger longMerger;
    private readonly PieceCache cache = new();
    private readonly byte[] utf8 = new byte[3 * PieceMerger.MaxLength];
    private readonly int[] single = new int[1];

    /// <param name="tables">What the vocabulary says about pieces.</param>
    public TextEncoder(EncodingTables tables)
    {
        this.tables = tables;
        ranks = tables.Ranks.GetAlternateLookup<ReadOnlySpan<byte>>();
        merger = new PieceMerger(tables.Pairs, tables.Start);
        longMerger = new LongPieceMerger(tables.Ranks);
    }

    /// <summary>Appends the ids of a text without unpaired surrogates.</summary>
    public void AppendTo(List<int> ids, ReadOnlySpan<char> text)
    {
        for (int start = 0, end; start < text.Length; start = end)
        {
            end = PieceSplitter.EndOfPiece(text, start);
            var piece = text[start..end];
            var known = cache.Find(piece, out var place);
            if (known.IsEmpty)
            {
                known = Encode(piece);
                if (place >= 0)
                {
                    cache.Set(place, piece, known);
                }
            }

            if (known.Length == 1)
            {
                ids.Add(known[0]);
            }
            else
            {
                ids.AddRange(known);
            }
        }
    }

    private ReadOnlySpan<int> Encode(ReadOnlySpan<char> piece)
    {
        var isLong = piece.Length > PieceMerger.MaxLength;
        var buffer = isLong ? new byte[Encoding.UTF8.GetByteCount(piece)] : utf8;
        var bytes = buffer.AsSpan(0, Encoding.UTF8.GetBytes(piece, buffer));
        if (tables.MayBeToken(bytes) && ranks.TryGetValue(bytes, out single[0]))
        {
            return single;
        }

        return isLong ? CollectionsMarshal.AsSpan(longMerger.Encode(bytes)) : merger.Encode(piece);
    }
}
