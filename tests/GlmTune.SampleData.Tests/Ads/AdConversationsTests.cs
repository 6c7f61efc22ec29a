using System.Text.RegularExpressions;
using GlmTune.Data.Tokenization;

namespace GlmTune.SampleData.Ads;

public sealed partial class AdConversationsTests
{
    private const double FewestCharactersAToken = 1.3;

    private static readonly string[] Files = ["ads/train", "ads/dev", "ads/test"];
    private static readonly List<(string Tags, string Ad)> Rows =
    [
        .. Files.SelectMany(Committed.Rows).Select(row => (row[0].Text("content"), row[1].Text("content"))),
    ];

    [Fact]
    public void A_prompt_is_a_tag_string()
    {
        Assert.All(Rows, row => Assert.Matches(TagString(), row.Tags));
        Assert.All(Files.SelectMany(Committed.Rows), row => Assert.Equal(2, row.Count));
    }

    [Fact]
    public void No_tag_string_is_in_two_rows_of_any_file() => Assert.Distinct(Rows.Select(row => row.Tags));

    [Fact]
    public void An_advertisement_speaks_of_every_tag()
    {
        // A few values go by a longer name in the text; the type alone may be left unsaid when a shape is named.
        var spoken = TraitCatalogue
            .All.SelectMany(kind => kind.Traits.Select(trait => (kind.Key, trait)))
            .ToDictionary(pair => (pair.Key, pair.trait.Value), pair => pair.trait.Spoken ?? pair.trait.Value);
        foreach (var (tags, ad) in Rows)
        {
            foreach (var tag in tags.Split('*').Skip(1).Select(tag => tag.Split('#')))
            {
                Assert.Contains(spoken.GetValueOrDefault((tag[0], tag[1]), tag[1]), ad, StringComparison.Ordinal);
            }
        }
    }

    [Fact]
    public void Hardly_two_sentences_are_alike()
    {
        Assert.Distinct(Rows.Select(row => row.Ad));
        var sentences = Rows.SelectMany(row => row.Ad.Split('。', StringSplitOptions.RemoveEmptyEntries)).ToList();
        Assert.InRange(sentences.Distinct().Count(), sentences.Count / 2, sentences.Count);
    }

    [Fact]
    public void Lengths_and_compression_suit_a_small_model()
    {
        var tokenizer = TokenizerFile.Read(Committed.Path("models/glm-nano"));
        var counts = Rows.Select(row => tokenizer.Encode(row.Ad).Length).ToList();

        Assert.All(counts, count => Assert.InRange(count, 40, 90));
        Assert.InRange(Rows.Sum(row => row.Ad.Length) / (double)counts.Sum(), FewestCharactersAToken, 12);
        Assert.InRange(
            Rows.Sum(row => row.Tags.Length) / (double)Rows.Sum(row => tokenizer.Encode(row.Tags).Length),
            FewestCharactersAToken,
            12
        );
    }

    [GeneratedRegex(@"^类型#(上衣|裤|裙|鞋|包|帽)(\*[^#*\s]+#[^#*\s]+){2,}$")]
    private static partial Regex TagString();
}
