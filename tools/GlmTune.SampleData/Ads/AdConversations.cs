namespace GlmTune.SampleData.Ads;

/// <summary>The rows of data/ads: a tag string and an advertisement made from it. No tag string occurs twice, in all three files.</summary>
internal sealed record AdConversations(IReadOnlyList<Conversation> Train, IReadOnlyList<Conversation> Dev, IReadOnlyList<Conversation> Test)
{
    private const int TrainRows = 1200;
    private const int HeldOutRows = 100;
    private const int ShortestAd = 84;      // characters: 40 to 90 of the nano tokenizer's tokens
    private const int LongestAd = 126;

    /// <summary>Writes all rows.</summary>
    public static AdConversations Write(ulong seed)
    {
        var random = new SeededRandom(seed);
        var rows = new List<Conversation>();
        var seen = new HashSet<string>();
        while (rows.Count < TrainRows + (2 * HeldOutRows))
        {
            var product = Product.Draw(random, fewest: 2, most: 6);
            var text = AdWriter.Write(product, random);
            if (text.Length is >= ShortestAd and <= LongestAd && seen.Add(product.TagString))
            {
                rows.Add(Conversation.Of(product.TagString, text));
            }
        }

        return new(rows[..TrainRows], rows[TrainRows..(TrainRows + HeldOutRows)], rows[(TrainRows + HeldOutRows)..]);
    }
}
