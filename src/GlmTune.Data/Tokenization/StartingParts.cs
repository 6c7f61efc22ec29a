using System.Text;

namespace GlmTune.Data.Tokenization;

/// <summary>The parts with which the merging of a piece starts: bytes, or whole characters where that cannot change
/// the result.</summary>
/// <remarks>By definition, merging starts with single bytes. A Chinese character has three, which nearly always merge
/// first and only with each other. Starting with the character is the same if (1) no token contains a border of this
/// character and only a part of the bytes on either side of it, so that no byte can merge across the border while the
/// character is incomplete; and (2) all tokens that start or end with the character and can be formed from it have
/// higher ranks than the merges inside it, so that these come first anyway. Immutable.</remarks>
internal sealed class StartingParts
{
    private const int NoToken = -1;

    private readonly int[] bytes = new int[256];

    // The token of each UTF-16 unit that is a character of several bytes and meets (2).
    private readonly int[] tokens = new int[char.MaxValue + 1];

    // The borders that fail (1): the byte before with the first byte after, and these with the second byte after.
    private readonly bool[] mayCross = new bool[1 << 16];
    private readonly HashSet<int> crossed = [];

    /// <param name="tokens">The bytes of each token; its index is its rank.</param>
    /// <param name="ranks">The rank of each token.</param>
    /// <param name="pairs">The rank of each pair of tokens.</param>
    public StartingParts(IReadOnlyList<byte[]> tokens, Dictionary<byte[], int> ranks, PairRanks pairs)
    {
        var find = ranks.GetAlternateLookup<ReadOnlySpan<byte>>();
        for (var value = 0; value < bytes.Length; value++)
        {
            bytes[value] = find[[(byte)value]];
        }

        this.tokens.AsSpan().Fill(NoToken);
        for (var rank = 0; rank < tokens.Count; rank++)
        {
            ReadOnlySpan<byte> token = tokens[rank];
            AddBorder(token, LeadingContinuations(token));
            AddBorder(token, token.Length - IncompleteEnd(token));
            if (
                token.Length is 2 or 3
                && Rune.DecodeFromUtf8(token, out var rune, out var used) == System.Buffers.OperationStatus.Done
                && used == token.Length
                && LastMerge(token, pairs) is { } merge
                && merge < pairs.LowestWith(rank)
            )
            {
                this.tokens[rune.Value] = rank;
            }
        }
    }

    /// <summary>Writes the parts of a piece.</summary>
    /// <param name="piece">The piece, without unpaired surrogates.</param>
    /// <param name="parts">Receives the tokens; three times as long as the piece.</param>
    /// <returns>Number of parts.</returns>
    public int Write(ReadOnlySpan<char> piece, Span<int> parts)
    {
        var count = 0;
        var isOpen = true; // whether no byte can merge across the border before the character
        for (var i = 0; i < piece.Length; i++)
        {
            var unit = piece[i];
            var scalar = char.IsHighSurrogate(unit) ? char.ConvertToUtf32(unit, piece[++i]) : unit;
            var isOpenAfter = i + 1 == piece.Length || !IsCrossed(piece[i], piece[i + 1]);
            if (unit < 0x80)
            {
                parts[count++] = bytes[unit];
            }
            else if (scalar != unit)
            {
                parts[count++] = bytes[0xF0 | (scalar >> 18)];
                parts[count++] = bytes[0x80 | ((scalar >> 12) & 0x3F)];
                parts[count++] = bytes[0x80 | ((scalar >> 6) & 0x3F)];
                parts[count++] = bytes[0x80 | (scalar & 0x3F)];
            }
            else if (tokens[unit] != NoToken && isOpen && isOpenAfter)
            {
                parts[count++] = tokens[unit];
            }
            else if (unit < 0x800)
            {
                parts[count++] = bytes[0xC0 | (unit >> 6)];
                parts[count++] = bytes[0x80 | (unit & 0x3F)];
            }
            else
            {
                parts[count++] = bytes[0xE0 | (unit >> 12)];
                parts[count++] = bytes[0x80 | ((unit >> 6) & 0x3F)];
                parts[count++] = bytes[0x80 | (unit & 0x3F)];
            }

            isOpen = isOpenAfter;
        }

        return count;
    }

    private bool IsCrossed(char left, char right)
    {
        var last = left < 0x80 ? left : 0x80 | (left & 0x3F);
        var (first, second) =
            right < 0x80 ? (right, 0)
            : right < 0x800 ? (0xC0 | (right >> 6), 0x80 | (right & 0x3F))
            : !char.IsSurrogate(right) ? (0xE0 | (right >> 12), 0x80 | ((right >> 6) & 0x3F))
            : FirstOfPair(right);
        return mayCross[(last << 8) | first] && crossed.Contains((last << 16) | (first << 8) | second);
    }

    // The first two of the four bytes depend on the high surrogate only.
    private static (int First, int Second) FirstOfPair(char high)
    {
        var scalar = char.ConvertToUtf32(high, '\uDC00');
        return (0xF0 | (scalar >> 18), 0x80 | ((scalar >> 12) & 0x3F));
    }

    // A token with bytes of one character before the border, and of another after it, of which one is incomplete.
    private void AddBorder(ReadOnlySpan<byte> token, int border)
    {
        if (border <= 0 || border >= token.Length)
        {
            return;
        }

        var (last, first) = (token[border - 1], token[border]);
        mayCross[(last << 8) | first] = true;
        var key = (last << 16) | (first << 8);
        if (first < 0x80)
        {
            crossed.Add(key);
        }
        else if (border + 1 < token.Length)
        {
            crossed.Add(key | token[border + 1]);
        }
        else
        {
            for (var second = 0x80; second < 0xC0; second++)
            {
                crossed.Add(key | second);
            }
        }
    }

    private static int LeadingContinuations(ReadOnlySpan<byte> token)
    {
        var count = 0;
        while (count < token.Length && token[count] is >= 0x80 and < 0xC0)
        {
            count++;
        }

        return count;
    }

    // Number of bytes of an incomplete character at the end.
    private static int IncompleteEnd(ReadOnlySpan<byte> token)
    {
        for (var count = 1; count <= Math.Min(3, token.Length); count++)
        {
            var lead = token[^count];
            if (lead is < 0x80 or >= 0xC0)
            {
                var whole = lead switch
                {
                    < 0x80 => 1,
                    < 0xE0 => 2,
                    < 0xF0 => 3,
                    _ => 4,
                };
                return count < whole ? count : 0;
            }
        }

        return 0;
    }

    // The highest rank of the merges that form a character from its bytes; null if they do not.
    private int? LastMerge(ReadOnlySpan<byte> character, PairRanks pairs)
    {
        var (first, second) = (bytes[character[0]], bytes[character[1]]);
        var left = pairs.Find(first, second);
        if (character.Length == 2)
        {
            return left == PairRanks.None ? null : left;
        }

        var third = bytes[character[2]];
        var right = pairs.Find(second, third);
        if (left == PairRanks.None && right == PairRanks.None)
        {
            return null;
        }

        var (inner, whole) = left <= right ? (left, pairs.Find(left, third)) : (right, pairs.Find(first, right));
        return whole == PairRanks.None ? null : Math.Max(inner, whole);
    }
}
