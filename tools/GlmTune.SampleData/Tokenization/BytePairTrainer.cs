using System.Text;
using System.Text.Unicode;
using GlmTune.Data.Tokenization;

namespace GlmTune.SampleData.Tokenization;

/// <summary>Learns a byte-level byte-pair vocabulary: the single bytes, then one merge after another, always the most
/// frequent pair.</summary>
/// <remarks>
/// While it learns, every piece stands as the encoder would cut it with the ranks so far: after each merge the lowest
/// rank is merged until none is left. So encoding by rank gives back exactly the trained segmentation, also where two
/// pairs make the same bytes. A token is one or more whole characters, or a part of one: never the end of one character
/// with the beginning of the next. Source: Sennrich, Haddow and Birch, Neural Machine Translation of Rare Words with
/// Subword Units, 2016. </remarks>
internal sealed class BytePairTrainer
{
    private readonly List<byte[]> tokens = [.. Enumerable.Range(0, 256).Select(value => new[] { (byte)value })];
    private readonly Dictionary<string, int> ranks = []; // bytes, a char each, to rank
    private readonly List<(List<int> Tokens, long Count)> pieces = [];
    private readonly Dictionary<(int Left, int Right), long> counts = [];

    // pieces that hold, or once held, the pair
    private readonly Dictionary<(int Left, int Right), HashSet<int>> places = [];

    private BytePairTrainer(IEnumerable<string> texts)
    {
        for (var rank = 0; rank < tokens.Count; rank++)
        {
            ranks.Add(Key(tokens[rank]), rank);
        }

        foreach (var (piece, count) in CountPieces(texts))
        {
            pieces.Add(([.. Encoding.UTF8.GetBytes(piece).Select(value => (int)value)], count));
            CountPairs(pieces.Count - 1, sign: 1);
        }
    }

    /// <summary>Learns tokens.</summary>
    /// <param name="texts">Training text; cut into pieces as GLM-4's tokenizer does, and no merge crosses a
    /// piece.</param>
    /// <param name="size">Number of tokens wanted, at least 256.</param>
    /// <param name="longest">Bytes that a token has at most.</param>
    /// <returns>The tokens' bytes by rank: first the 256 single bytes by value.</returns>
    /// <exception cref="ArgumentException">The texts give fewer tokens than wanted.</exception>
    public static IReadOnlyList<byte[]> Train(IEnumerable<string> texts, int size, int longest)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(size, 256);
        var trainer = new BytePairTrainer(texts);
        while (trainer.tokens.Count < size)
        {
            if (trainer.MostFrequentPair(longest) is not { } pair)
            {
                throw new ArgumentException(
                    $"The texts give {trainer.tokens.Count} tokens of at most {longest} bytes; {size} are wanted.",
                    nameof(texts)
                );
            }

            trainer.Merge(pair);
        }

        return trainer.tokens;
    }

    private static List<KeyValuePair<string, long>> CountPieces(IEnumerable<string> texts)
    {
        var counts = new OrderedDictionary<string, long>(StringComparer.Ordinal);
        foreach (var text in texts)
        {
            for (int start = 0, end; start < text.Length; start = end)
            {
                end = PieceSplitter.EndOfPiece(text, start);
                var piece = text[start..end];
                counts[piece] = counts.GetValueOrDefault(piece) + 1;
            }
        }

        return [.. counts];
    }

    // Of equally frequent pairs the one with the lowest ranks, so that the result does not depend on a dictionary's
    // order.
    private (int Left, int Right)? MostFrequentPair(int longest)
    {
        (int Left, int Right)? best = null;
        var most = 0L;
        foreach (var (pair, count) in counts)
        {
            if (
                count >= most
                && count > 0
                && (count > most || pair.CompareTo(best!.Value) < 0)
                && tokens[pair.Left].Length + tokens[pair.Right].Length <= longest
                && IsCharactersOrPart(pair)
            )
            {
                (best, most) = (pair, count);
            }
        }

        return best;
    }

    // A token that holds one character and the beginning of another would make the next token depend on this one's
    // bytes.
    private bool IsCharactersOrPart((int Left, int Right) pair)
    {
        byte[] joined = [.. tokens[pair.Left], .. tokens[pair.Right]];
        return Utf8.IsValid(joined) || joined.AsSpan(1).IndexOfAnyExceptInRange((byte)0x80, (byte)0xBF) < 0;
    }

    private void Merge((int Left, int Right) pair)
    {
        byte[] joined = [.. tokens[pair.Left], .. tokens[pair.Right]];
        var key = Key(joined);
        ranks.Add(key, tokens.Count);
        tokens.Add(joined);

        var touched = new SortedSet<int>();
        for (var cut = 1; cut < joined.Length; cut++)
        {
            if (
                ranks.TryGetValue(key[..cut], out var left)
                && ranks.TryGetValue(key[cut..], out var right)
                && places.Remove((left, right), out var holders)
            )
            {
                touched.UnionWith(holders);
            }
        }

        foreach (var piece in touched)
        {
            CountPairs(piece, sign: -1);
            MergeByRank(pieces[piece].Tokens);
            CountPairs(piece, sign: 1);
        }
    }

    private void MergeByRank(List<int> piece)
    {
        while (true)
        {
            var (lowest, at) = (int.MaxValue, -1);
            for (var i = 0; i + 1 < piece.Count; i++)
            {
                if (ranks.TryGetValue(Key(tokens[piece[i]]) + Key(tokens[piece[i + 1]]), out var rank) && rank < lowest)
                {
                    (lowest, at) = (rank, i);
                }
            }

            if (at < 0)
            {
                return;
            }

            piece[at] = lowest;
            piece.RemoveAt(at + 1);
        }
    }

    private void CountPairs(int index, int sign)
    {
        var (piece, count) = pieces[index];
        for (var i = 0; i + 1 < piece.Count; i++)
        {
            var pair = (piece[i], piece[i + 1]);
            counts[pair] = counts.GetValueOrDefault(pair) + (sign * count);
            if (counts[pair] == 0)
            {
                counts.Remove(pair);
            }

            if (sign > 0)
            {
                if (!places.TryGetValue(pair, out var holders))
                {
                    places.Add(pair, holders = []);
                }

                holders.Add(index);
            }
        }
    }

    private static string Key(byte[] bytes) => Encoding.Latin1.GetString(bytes);
}
