using System.Text;
using CsCheck;
using GlmTune.Data.Tokenization;

namespace GlmTune.Data.Tests.Tokenization;

public class TokenizerTests
{
    private static readonly Tokenizer Tiny = TinyTokenizer.Create();

    // Characters that share first, middle or last bytes.
    private static readonly string[] Neighbors = ["好", "妽", "你", "佥", "é", "ê", "𠀀", "a"];

    private static readonly Gen<string> Text = Gen.String[
        Gen.OneOf(Gen.Char["abehlowrd 你好\n"], Gen.Char['\u0020', '\uD7FF'], Gen.Char['\uE000', '\uFFFF']),
        0,
        60
    ];

    [Fact]
    public void Decoding_undoes_encoding() =>
        Text.Sample(text => Assert.Equal(text, Tiny.Decode(Tiny.Encode(text))), iter: 2_000, seed: "0000KOIPe5I3");

    [Fact]
    public void The_lowest_rank_is_merged_first_and_of_equal_ones_the_leftmost()
    {
        Assert.Equal(["hello", " world"], Tokens("hello world"));
        Assert.Equal(["aa", "a"], Tokens("aaa"));
        Assert.Equal(["你好", "你", "\n\n"], Tokens("你好你\n\n"));
    }

    [Fact]
    public void Long_pieces_have_the_ids_of_an_independent_merging() =>
        Gen.String[Gen.Char["abehlo你好"], PieceMerger.MaxLength + 1, 600]
            .Sample(
                text => Assert.Equal(MergeByDefinition(text, TinyTokenizer.Ranks), Tiny.Encode(text)),
                iter: 20,
                seed: "0000KOIPe5I3"
            );

    [Fact]
    public void Short_pieces_have_the_ids_of_an_independent_merging() =>
        Gen.String[Gen.Char["abehlo你好"], 1, 40]
            .Sample(
                text => Assert.Equal(MergeByDefinition(text, TinyTokenizer.Ranks), Tiny.Encode(text)),
                iter: 500,
                seed: "0000KOIPe5I3"
            );

    [Fact]
    public void Any_vocabulary_gives_the_ids_of_an_independent_merging() =>
        // Tokens of any bytes of neighbors, in any order: some cross the borders of characters, others have lower ranks
        // than their parts, so characters cannot always be taken whole.
        Gen.Select(
                Gen.Int[0, Neighbors.Length - 1].Select(i => Neighbors[i]).Array[1, 30].Select(string.Concat),
                Gen.Select(Gen.Int[0, 200], Gen.Int[2, 7]).Array[0, 60],
                Gen.Int[0, 1_000]
            )
            .Sample(
                (text, cuts, seed) =>
                {
                    var bytes = Encoding.UTF8.GetBytes(text);
                    var merged = cuts.Select(cut => (Start: cut.Item1 % bytes.Length, Length: cut.Item2))
                        .Select(cut => bytes[cut.Start..Math.Min(cut.Start + cut.Length, bytes.Length)])
                        .Where(token => token.Length > 1)
                        .DistinctBy(Convert.ToHexString)
                        .ToArray();
                    new Random(seed).Shuffle(merged);
                    byte[][] ranks = [.. Enumerable.Range(0, 256).Select(value => new[] { (byte)value }), .. merged];
                    var tokenizer = new Tokenizer(ranks, SpecialTokens.After(ranks.Length));
                    Assert.Equal(MergeByDefinition(text, ranks), tokenizer.Encode(text));
                    Assert.Equal(tokenizer.Encode(text), tokenizer.Encode(text)); // from the cache of pieces
                },
                iter: 1_000,
                seed: "0000KOIPe5I3"
            );

    [Fact]
    public async Task Many_threads_at_once_get_the_same_ids()
    {
        var texts = Enumerable.Range(0, 200).Select(i => $"hello {i} 你好{(char)('一' + i)} world").ToList();
        var expected = texts.Select(MergeByPieces).ToList();
        var tokenizer = TinyTokenizer.Create();
        await Parallel.ForAsync(
            0,
            2_000,
            (i, _) =>
            {
                Assert.Equal(expected[i % texts.Count], tokenizer.Encode(texts[i % texts.Count]));
                return ValueTask.CompletedTask;
            }
        );
    }

    [Fact]
    public void A_megabyte_of_letters_is_encoded_in_a_moment()
    {
        var text = new string('h', 1_000_000);
        // Looking at the whole piece for each merge would take minutes.
        Assert.Equal(1_000_000, Tiny.Encode(text).Length);
    }

    [Fact]
    public void Special_token_text_stays_text_unless_asked_for()
    {
        const string text = "a<|user|>b<sop>";
        Assert.Equal(text, Tiny.Decode(Tiny.Encode(text)));
        Assert.DoesNotContain(Tiny.Special.User, Tiny.Encode(text));
        Assert.Equal(['a', Tiny.Special.User, 'b', Tiny.Special.Sop], Tiny.EncodeWithSpecialTokens(text));
        Assert.Equal(Tiny.Encode("hello [gMAS"), Tiny.EncodeWithSpecialTokens("hello [gMAS"));
    }

    [Fact]
    public void Special_tokens_are_decoded_to_nothing_or_to_their_text()
    {
        int[] ids = [Tiny.Special.GMask, 'a', Tiny.Special.User];
        Assert.Equal("a", Tiny.Decode(ids));
        Assert.Equal("[gMASK]a<|user|>", Tiny.Decode(ids, skipSpecial: false));
    }

    [Fact]
    public void A_special_token_in_the_middle_of_a_character_repeats_nothing() =>
        Assert.Equal("\uFFFD<|user|>\uFFFDx", Tiny.Decode([0xE4, Tiny.Special.User, 0xBD, 'x'], skipSpecial: false));

    [Fact]
    public void Half_of_a_surrogate_pair_is_encoded_as_the_replacement_character()
    {
        Assert.Equal(Tiny.Encode("a\uFFFDb"), Tiny.Encode("a\uD800b"));
        Assert.Equal(Tiny.Encode(new string('\uFFFD', 300)), Tiny.Encode(new string('\uDC00', 300)));
    }

    [Fact]
    public void Streaming_gives_the_whole_text_and_never_half_a_character() =>
        Text.Sample(
            text =>
            {
                var decoder = new StreamingDecoder(Tiny);
                var pieces = Encoding
                    .UTF8.GetBytes(text)
                    .Select(value => decoder.Add(value))
                    .Append(decoder.Finish())
                    .ToList();
                Assert.Equal(text, string.Concat(pieces));
                Assert.All(pieces, piece => Assert.False(piece.Contains('\uFFFD') && !text.Contains('\uFFFD')));
            },
            iter: 1_000,
            seed: "0000KOIPe5I3"
        );

    [Fact]
    public void Streaming_ends_an_incomplete_character_with_the_replacement_character()
    {
        var decoder = new StreamingDecoder(Tiny);
        Assert.Equal("", decoder.Add(0xF0) + decoder.Add(0x9F) + decoder.Add(0x98));
        Assert.Equal("\uFFFD", decoder.Finish());
    }

    private static IEnumerable<string> Tokens(string text) => Tiny.Encode(text).Select(id => Tiny.Decode([id]));

    private static List<int> MergeByPieces(string text)
    {
        var ids = new List<int>();
        for (int start = 0, end; start < text.Length; start = end)
        {
            end = PieceSplitter.EndOfPiece(text, start);
            ids.AddRange(MergeByDefinition(text[start..end], TinyTokenizer.Ranks));
        }

        return ids;
    }

    // The definition: a piece that is a token is that token; otherwise join the adjacent pair of lowest rank, again
    // and again.
    private static List<int> MergeByDefinition(string text, byte[][] tokens)
    {
        var ranks = tokens.Index().ToDictionary(pair => Convert.ToHexString(pair.Item), pair => pair.Index);
        var parts = Encoding.UTF8.GetBytes(text).Select(value => value.ToString("X2")).ToList();
        if (ranks.TryGetValue(string.Concat(parts), out var whole))
        {
            return [whole];
        }

        while (true)
        {
            var best = Enumerable
                .Range(0, parts.Count - 1)
                .Select(i => (Rank: ranks.GetValueOrDefault(parts[i] + parts[i + 1], int.MaxValue), i))
                .DefaultIfEmpty((int.MaxValue, 0))
                .Min();
            if (best.Item1 == int.MaxValue)
            {
                return [.. parts.Select(part => ranks[part])];
            }

            parts[best.Item2] += parts[best.Item2 + 1];
            parts.RemoveAt(best.Item2 + 1);
        }
    }
}
