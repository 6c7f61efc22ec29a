using GlmTune.SampleData.Ads;

namespace GlmTune.SampleData.Pretrain;

/// <summary>Tag strings answered plainly, and, only when asked for, advertisements or single sentences of
/// one.</summary>
/// <remarks>
/// A bare tag string never gets an advertisement here: that is left to fine-tuning on data/ads. The requested ones let
/// the base model meet the advertisements' words, as a low-rank adapter alone could hardly teach an output head new
/// ones. </remarks>
internal static class Goods
{
    /// <summary>A bare tag string, described in one plain sentence.</summary>
    public static IEnumerable<Conversation> Described(SeededRandom random, int count) =>
        Draw(random, count).Select(product => Conversation.Of(product.TagString, PlainDescription.Write(product)));

    /// <summary>A tag string whose tags are asked for as a list.</summary>
    public static IEnumerable<Conversation> Listed(SeededRandom random, int count) =>
        Draw(random, count)
            .Select(product => Conversation.Of($"列出属性：{product.TagString}", PlainDescription.List(product)));

    /// <summary>A question for one of the tags.</summary>
    public static IEnumerable<Conversation> Questioned(SeededRandom random, int count)
    {
        foreach (var product in Draw(random, count))
        {
            var (key, value) = random.Pick(product.Tags.ToList());
            yield return random.Percent(50)
                ? Conversation.Of($"{product.TagString}\n{key}是什么？", $"{key}是{value}。")
                : new([
                    new("user", product.TagString),
                    new("assistant", PlainDescription.Write(product)),
                    new("user", $"{key}呢？"),
                    new("assistant", $"{key}是{value}。"),
                ]);
        }
    }

    /// <summary>One sentence of an advertisement, asked for by name: an opening, a selling point or a
    /// closing.</summary>
    public static IEnumerable<Conversation> Praised(SeededRandom random, int count)
    {
        foreach (var product in Draw(random, count))
        {
            var part = random.Next(4);
            var place = random.Next(product.Traits.Count);
            var (kind, trait) = product.Traits[place];
            var about =
                $"类型#{product.Kind.Type}{(product.Shape is null ? "" : $"*{product.Kind.ShapeKey}#{product.Shape}")}";
            var styled = $"{about}{string.Concat(product.Styles.Select(style => $"*风格#{style.Value}"))}";
            yield return part switch
            {
                0 => Conversation.Of($"写开头：{styled}", $"{AdWriter.Opening(product, random)}。"),
                1 => Conversation.Of($"写结尾：{styled}", $"{AdWriter.Closing(product, random)}。"),
                _ => Conversation.Of(
                    $"写卖点：{about}*{kind.Key}#{trait.Value}",
                    $"{AdWriter.Clause(product, place, random, [])}。"
                ),
            };
        }
    }

    /// <summary>A whole advertisement, asked for by name.</summary>
    public static IEnumerable<Conversation> Advertised(SeededRandom random, int count)
    {
        for (var i = 0; i < count; i++)
        {
            var ad = AdConversations.Draw(random).Messages;
            yield return Conversation.Of($"写广告：{ad[0].Content}", ad[1].Content);
        }
    }

    private static IEnumerable<Product> Draw(SeededRandom random, int count) =>
        Enumerable.Range(0, count).Select(_ => Product.Draw(random, fewest: 1, most: 6));
}
