namespace GlmTune.SampleData.Ads;

/// <summary>One piece of goods: its kind, its shape if the tags name one, its styles and its traits in tag
/// order.</summary>
internal sealed record Product(
    ProductKind Kind,
    string? Shape,
    IReadOnlyList<Style> Styles,
    IReadOnlyList<(TraitKind Kind, Trait Trait)> Traits
)
{
    /// <summary>What to call it: its shape, or its kind's noun.</summary>
    public string Noun => Shape ?? Kind.Noun;

    /// <summary>Keys and values in the order of the tag string.</summary>
    public IEnumerable<(string Key, string Value)> Tags
    {
        get
        {
            yield return ("类型", Kind.Type);
            foreach (var (kind, trait) in Traits.Where(pair => IsBeforeStyle(pair.Kind)))
            {
                yield return (kind.Key, trait.Value);
            }

            foreach (var style in Styles)
            {
                yield return ("风格", style.Value);
            }

            foreach (var (kind, trait) in Traits.Where(pair => pair.Kind == TraitCatalogue.Pattern))
            {
                yield return (kind.Key, trait.Value);
            }

            if (Shape is not null)
            {
                yield return (Kind.ShapeKey, Shape);
            }

            foreach (
                var (kind, trait) in Traits.Where(pair =>
                    Kind.Details.Contains(pair.Kind.Key) && !IsBeforeStyle(pair.Kind)
                )
            )
            {
                yield return (kind.Key, trait.Value);
            }
        }
    }

    /// <summary>The tags as one string: 类型#裤*材质#棉*颜色#黑色.</summary>
    public string TagString => string.Join('*', Tags.Select(tag => $"{tag.Key}#{tag.Value}"));

    /// <summary>Draws a product.</summary>
    /// <param name="random">Where the choices come from.</param>
    /// <param name="fewest">The fewest traits it may have.</param>
    /// <param name="most">The most traits it may have.</param>
    public static Product Draw(SeededRandom random, int fewest, int most)
    {
        var kind = random.Pick(ProductCatalogue.Kinds);
        var shape = random.Percent(75) ? random.Pick(kind.Shapes) : null;
        var styles = random.Percent(75) ? random.Sample(ProductCatalogue.Styles, random.Percent(12) ? 2 : 1) : [];
        var traitKinds = TraitCatalogue
            .All.Where(traitKind => IsShared(traitKind) || kind.Details.Contains(traitKind.Key))
            .ToList();
        var chosen = random.Sample(traitKinds, random.Between(fewest, most));
        var traits = traitKinds
            .Where(chosen.Contains)
            .Select(traitKind => (traitKind, random.Pick(Fitting(kind, traitKind))))
            .ToList();
        return new Product(kind, shape, styles, traits);
    }

    private static bool IsShared(TraitKind kind) =>
        kind == TraitCatalogue.Material || kind == TraitCatalogue.Colour || kind == TraitCatalogue.Pattern;

    private static bool IsBeforeStyle(TraitKind kind) =>
        kind.Key == "版型" || kind == TraitCatalogue.Material || kind == TraitCatalogue.Colour;

    private static Trait[] Fitting(ProductKind kind, TraitKind traitKind) =>
        traitKind == TraitCatalogue.Material
            ? [.. traitKind.Traits.Where(trait => kind.Materials.Contains(trait.Value))]
            : traitKind.Traits;
}
