namespace GlmTune.SampleData.Ads;

/// <summary>A value that a tag can have, and what an advertisement may say in its favour.</summary>
/// <param name="Value">The value in the tag string, such as 棉.</param>
/// <param name="Merits">Predicates without a subject, at least two, such as 柔软亲肤.</param>
/// <param name="Spoken">What the advertisement calls it; null where that is the value itself.</param>
internal sealed record Trait(string Value, string[] Merits, string? Spoken = null);

/// <summary>A tag's key, the sentences that can speak of it, and its values.</summary>
/// <param name="Key">The key in the tag string, such as 材质.</param>
/// <param name="Patterns">Clauses with holes: {s} the value, {a} and {b} two of its merits, {p} the product's surface,
/// {n} its noun.</param>
/// <param name="Traits">The values.</param>
internal sealed record TraitKind(string Key, string[] Patterns, Trait[] Traits);

/// <summary>A style: it colours an advertisement's first and last sentence instead of having a clause of its
/// own.</summary>
/// <param name="Value">The value of the 风格 tag.</param>
/// <param name="Moods">Predicates for the opening.</param>
/// <param name="Occasions">Where one goes in it; verb phrases, at least two.</param>
internal sealed record Style(string Value, string[] Moods, string[] Occasions);

/// <summary>A kind of goods.</summary>
/// <param name="Type">The value of the 类型 tag.</param>
/// <param name="Measure">Its measure word.</param>
/// <param name="Verb">How it is worn: 穿, 戴 or 背.</param>
/// <param name="Noun">What a piece is called when no shape is given.</param>
/// <param name="Surface">The part that has a colour and a pattern.</param>
/// <param name="ShapeKey">The tag that names the shape, such as 裤型.</param>
/// <param name="Shapes">The shapes; each is a noun.</param>
/// <param name="Materials">Values of 材质 that it is made of.</param>
/// <param name="Details">Keys of the trait kinds that only some goods have.</param>
/// <param name="Partners">What it is worn with.</param>
internal sealed record ProductKind(
    string Type,
    string Measure,
    string Verb,
    string Noun,
    string Surface,
    string ShapeKey,
    string[] Shapes,
    string[] Materials,
    string[] Details,
    string[] Partners
);
