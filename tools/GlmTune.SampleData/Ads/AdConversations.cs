namespace GlmTune.SampleData.Ads;

/// <summary>The rows of data/ads: a tag string and an advertisement made from it. No tag string occurs twice, in all
/// three files.</summary>
internal sealed record AdConversations(
    IReadOnlyList<Conversation> Train,
    IReadOnlyList<Conversation> Dev,
    IReadOnlyList<Conversation> Test
)
{
    private const int TrainRows = 1200;
    private const int HeldOutRows = 100;
    private const int ShortestAd = 84; // characters: 40 to 90 of the nano tokenizer's tokens
    private const int LongestAd = 124;

    /// <summary>Writes all rows.</summary>
    public static AdConversations Write(ulong seed)
    {
        var random = new SeededRandom(seed);
        var rows = new List<Conversation>();
        var seen = new HashSet<string>();
        while (rows.Count < TrainRows + (2 * HeldOutRows))
        {
            var row = Draw(random);
            if (seen.Add(row.Messages[0].Content))
            {
                rows.Add(row);
            }
        }

        return new(rows[..TrainRows], rows[TrainRows..(TrainRows + HeldOutRows)], rows[(TrainRows + HeldOutRows)..]);
    }

    /// <summary>A row: a tag string and an advertisement of a length that suits the nano model.</summary>
    public static Conversation Draw(SeededRandom random)
    {
        while (true)
        {
            var product = Product.Draw(random, fewest: 2, most: 6);
            var text = AdWriter.Write(product, random);
            if (text.Length is >= ShortestAd and <= LongestAd)
            {
                return Conversation.Of(product.TagString, text);
            }
        }
    }
}
