using System.Text;
using System.Text.Unicode;
using CsCheck;
using GlmTune.Data.Tokenization;

namespace GlmTune.SampleData.Tokenization;

public sealed class BytePairTrainerTests
{
    [Fact]
    public void Most_frequent_pairs_come_first()
    {
        var tokens = BytePairTrainer.Train(["low low low lower", "newer newer wider"], size: 260, longest: 8);

        // e+r, l+o and o+w stand in four words each, and e has the lowest rank; " low" is in three.
        Assert.Equal(["er", "lo", "low", " low"], tokens.Skip(256).Select(Encoding.UTF8.GetString));
    }

    [Fact]
    public void Single_bytes_hold_the_first_ranks()
    {
        var tokens = BytePairTrainer.Train(["any text"], size: 256, longest: 12);

        Assert.Equal(Enumerable.Range(0, 256), tokens.Select(token => (int)Assert.Single(token)));
    }

    [Fact]
    public void Tokens_are_the_same_as_those_of_a_trainer_that_counts_everything_anew() =>
        Gen.Char["ab衣裤"]
            .Array[0, 30]
            .Select(chars => new string(chars))
            .Array[1, 6]
            .Sample(
                texts =>
                {
                    var expected = TrainAnew(texts, size: 270, longest: 7);
                    var actual = BytePairTrainer.Train(texts, expected.Count, longest: 7);
                    Assert.Equal(expected.Select(Convert.ToHexString), actual.Select(Convert.ToHexString));
                },
                iter: 300,
                seed: "0000KOIPe6d3"
            );

    [Fact]
    public void Encoding_by_rank_gives_each_token_for_its_own_bytes()
    {
        var tokens = TokenRanks.Parse(
            File.ReadAllBytes(Committed.Path("models/glm-nano/tokenizer.model")),
            "tokenizer.model"
        );
        var ranks = Ranks(tokens);

        Assert.All(
            Enumerable.Range(0, tokens.Length),
            rank => Assert.Equal([rank], Encode(tokens[rank], tokens, ranks))
        );
    }

    [Fact]
    public void A_token_never_joins_a_part_of_a_character_to_another() =>
        Assert.All(
            TokenRanks.Parse(File.ReadAllBytes(Committed.Path("models/glm-nano/tokenizer.model")), "tokenizer.model"),
            token => Assert.True(Utf8.IsValid(token) || token.Skip(1).All(value => value is >= 0x80 and < 0xC0))
        );

    [Fact]
    public void Too_little_text_is_refused()
    {
        var error = Assert.Throws<ArgumentException>(() => BytePairTrainer.Train(["ab"], size: 300, longest: 4));

        Assert.Contains("give 257 tokens of at most 4 bytes; 300 are wanted", error.Message, StringComparison.Ordinal);
    }

    private static IEnumerable<string> Pieces(string text)
    {
        for (int start = 0, end; start < text.Length; start = end)
        {
            end = PieceSplitter.EndOfPiece(text, start);
            yield return text[start..end];
        }
    }

    // Plain and slow: every piece is encoded from its bytes after each merge, and all pairs are counted again.
    private static List<byte[]> TrainAnew(string[] texts, int size, int longest)
    {
        List<byte[]> tokens = [.. Enumerable.Range(0, 256).Select(value => new[] { (byte)value })];
        var pieces = texts.SelectMany(Pieces).Select(Encoding.UTF8.GetBytes).ToList();
        while (tokens.Count < size)
        {
            var ranks = Ranks(tokens);
            var best = pieces
                .Select(piece => Encode(piece, tokens, ranks))
                .SelectMany(piece => piece.Zip(piece.Skip(1)))
                .GroupBy(pair => pair)
                .Select(pairs =>
                    (
                        Joined: (byte[])[.. tokens[pairs.Key.First], .. tokens[pairs.Key.Second]],
                        pairs.Key,
                        Count: pairs.Count()
                    )
                )
                .Where(pair =>
                    pair.Joined.Length <= longest
                    && (Utf8.IsValid(pair.Joined) || pair.Joined.Skip(1).All(value => value is >= 0x80 and < 0xC0))
                )
                .OrderByDescending(pair => pair.Count)
                .ThenBy(pair => pair.Key)
                .FirstOrDefault();
            if (best.Joined is null)
            {
                break;
            }

            tokens.Add(best.Joined);
        }

        return tokens;
    }

    private static Dictionary<string, int> Ranks(IReadOnlyList<byte[]> tokens) =>
        tokens
            .Select((token, rank) => (Convert.ToHexString(token), rank))
            .ToDictionary(pair => pair.Item1, pair => pair.rank);

    private static List<int> Encode(byte[] piece, IReadOnlyList<byte[]> tokens, Dictionary<string, int> ranks)
    {
        var encoded = piece.Select(value => ranks[Convert.ToHexString([value])]).ToList();
        while (true)
        {
            var merges = encoded
                .Zip(encoded.Skip(1))
                .Select(
                    (pair, at) =>
                        (
                            Rank: ranks.GetValueOrDefault(
                                Convert.ToHexString([.. tokens[pair.First], .. tokens[pair.Second]]),
                                -1
                            ),
                            At: at
                        )
                )
                .Where(merge => merge.Rank >= 0)
                .ToList();
            if (merges.Count == 0)
            {
                return encoded;
            }

            var (rank, place) = merges.MinBy(merge => (merge.Rank, merge.At));
            encoded[place] = rank;
            encoded.RemoveAt(place + 1);
        }
    }
}
