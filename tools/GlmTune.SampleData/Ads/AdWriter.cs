using System.Text;

namespace GlmTune.SampleData.Ads;

/// <summary>Writes a product's advertisement: an opening, a clause for each trait in tag order, a closing.</summary>
internal static class AdWriter
{
    private static readonly string[] PlainOpenings =
    [
        "这{m}{n}一{v}上就让人喜欢",
        "挑一{m}好看的{n}并不难",
        "总要有一{m}这样的{n}",
        "遇见这{m}{n}，出门不再犯愁",
        "这{m}{n}看似平常，细节却很用心",
        "新到的{n}，越看越喜欢",
    ];

    private static readonly string[] StyleOpenings =
    [
        "{s}风的{n}，{o}",
        "喜欢{s}风格的你，别错过这{m}{n}",
        "这{m}{n}走{s}路线，{o}",
        "一{m}{s}风的{n}，{o}",
        "{s}感十足的{n}，{o}",
        "把{s}{v}在身上，这{m}{n}{o}",
    ];

    private static readonly string[] StyleClosings =
    [
        "无论{o}还是{u}，都能轻松应对",
        "{o}的时候{v}上它，自信满满",
        "搭配{w}，{o}也好看",
        "{o}或者{u}，都少不了它",
        "配上{w}去{o}，回头率很高",
    ];

    private static readonly string[] PlainClosings =
    [
        "搭配{w}，轻松搭出好气质",
        "配上{w}就很好看",
        "和{w}一起{v}，时髦又舒服",
        "日常出门，有它就够了",
        "送给自己或者朋友都合适",
        "每天都想带它出门",
    ];

    private static readonly string[] Links = ["，", "，", "。", "。", "；", "，同时", "，而且"];

    /// <summary>The whole advertisement.</summary>
    public static string Write(Product product, SeededRandom random)
    {
        var text = new StringBuilder(Opening(product, random)).Append('。');
        var patterns = new List<string>();
        for (var i = 0; i < product.Traits.Count; i++)
        {
            text.Append(Clause(product, i, random, patterns));
            // A sentence holds two clauses at most.
            text.Append(i % 2 == 0 && i + 1 < product.Traits.Count ? random.Pick(Links) : "。");
        }

        return text.Append(Closing(product, random)).Append('。').ToString();
    }

    /// <summary>A first sentence, without its full stop.</summary>
    public static string Opening(Product product, SeededRandom random)
    {
        if (product.Styles.Count == 0)
        {
            return Fill(random.Pick(PlainOpenings), product);
        }

        var style = product.Styles[0];
        var name = string.Join('又', product.Styles.Select(each => each.Value));
        return Fill(random.Pick(StyleOpenings), product, ("{s}", name), ("{o}", random.Pick(style.Moods)));
    }

    /// <summary>What speaks for the trait at a place of <see cref="Product.Traits"/>, without a full stop.</summary>
    /// <param name="product">The goods.</param>
    /// <param name="place">Which trait.</param>
    /// <param name="random">Where the choices come from.</param>
    /// <param name="used">Patterns that are not used again while there are others; the chosen one is added.</param>
    public static string Clause(Product product, int place, SeededRandom random, List<string> used)
    {
        var (kind, trait) = product.Traits[place];
        var fresh = kind.Patterns.Except(used).ToList();
        var pattern = random.Pick<string>(fresh.Count > 0 ? fresh : [.. kind.Patterns]);
        used.Add(pattern);
        var merits = random.Sample(trait.Merits, 2);
        return Fill(pattern, product, ("{s}", trait.Spoken ?? trait.Value), ("{a}", merits[0]), ("{b}", merits[1]));
    }

    /// <summary>A last sentence, without its full stop.</summary>
    public static string Closing(Product product, SeededRandom random)
    {
        var partner = ("{w}", random.Pick(product.Kind.Partners));
        if (product.Styles.Count == 0)
        {
            return Fill(random.Pick(PlainClosings), product, partner);
        }

        var occasions = random.Sample(product.Styles[^1].Occasions, 2);
        return Fill(random.Pick(StyleClosings), product, partner, ("{o}", occasions[0]), ("{u}", occasions[1]));
    }

    private static string Fill(string pattern, Product product, params ReadOnlySpan<(string Hole, string Text)> words)
    {
        var text = pattern
            .Replace("{m}", product.Kind.Measure, StringComparison.Ordinal)
            .Replace("{v}", product.Kind.Verb, StringComparison.Ordinal)
            .Replace("{n}", product.Noun, StringComparison.Ordinal)
            .Replace("{p}", product.Kind.Surface, StringComparison.Ordinal);
        foreach (var (hole, word) in words)
        {
            text = text.Replace(hole, word, StringComparison.Ordinal);
        }

        return text;
    }
}
